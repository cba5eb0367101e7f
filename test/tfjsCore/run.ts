/* Prints the `Outcome` of tfjs-core's suite as the last line. */
import { runSuite } from './jasmineSuite.ts';

console.log(`\n${JSON.stringify(await runSuite())}`);
