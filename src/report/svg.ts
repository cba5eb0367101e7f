import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';

/* What of the browser's types is needed; this project has none of them. */
const { document } = parseHTML('<!doctype html><html></html>') as unknown as { document: object };
const plot = Plot.plot as unknown as (options: object) => { outerHTML: string };

/** Draws a plot as the text of an SVG element. What its marks say is escaped. */
export function drawSvg(options: Plot.PlotOptions): string {
  const svg = plot({ document, ...options }).outerHTML;
  // Coordinates in hundredths of a pixel are enough.
  return svg.replaceAll(/="[^"]*"/g, (value) => value.replaceAll(/(\d\.\d\d)\d+/g, '$1'));
}
