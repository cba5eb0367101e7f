import type { CommandModule } from 'yargs';

interface ReportArguments {
  runs: string[];
  out: string | undefined;
}

/** `finer1 report`: what runs did, on one page. */
export const reportCommand: CommandModule<object, ReportArguments> = {
  command: 'report <runs..>',
  describe: 'Show trainings and tests on one page, side by side: curves, confusions, pictures, responses',
  builder: (yargs) =>
    yargs
      .positional('runs', {
        type: 'string',
        array: true,
        demandOption: true,
        describe: 'folders that sft, tapo or eval have written to, or that hold several of them',
      })
      .option('out', { type: 'string', describe: 'the HTML file; default: report.html in the folder' }),
  handler: async (options) => {
    const { runReport } = await import('./runReport.ts');
    await runReport(options.runs, options.out);
  },
};
