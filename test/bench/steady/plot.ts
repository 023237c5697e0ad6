/** A line of a plot. */
export interface Line {
  title: string;
  /** Of each value of the axis; nothing where it was not measured. */
  values: (number | undefined)[];
}

export interface Plot {
  title: string;
  /** Below the axis. */
  label: string;
  /** What the lines are in. */
  unit: string;
  /** Of the points on the axis, which are equally far from each other: their values grow by factors, or are no numbers. */
  ticks: string[];
  lines: Line[];
}

const WIDTH = 640;
const HEIGHT = 360;
const LEFT = 64;
const RIGHT = 150;
const TOP = 44;
const BOTTOM = 52;
/** Told apart by those who see colours in another way too (Okabe and Ito). */
const COLOURS = ['#999999', '#d55e00', '#e69f00', '#0072b2', '#009e73'];

/** An SVG. It has a background of its own, for a page may be dark. */
export function draw({ title, label, unit, ticks, lines }: Plot): string {
  const known = lines.flatMap(({ values }) => values.filter((value) => value !== undefined));
  const steps = stepsUpTo(Math.max(...known, 0));
  const top = steps.at(-1)!;
  const x = (i: number): number =>
    LEFT + (ticks.length === 1 ? 0.5 : i / (ticks.length - 1)) * (WIDTH - LEFT - RIGHT - 20) + 10;
  const y = (value: number): number => HEIGHT - BOTTOM - (Math.max(0, value) / top) * (HEIGHT - TOP - BOTTOM);
  const shown = lines
    .map((line, i) => ({ ...line, colour: COLOURS[i % COLOURS.length]! }))
    .filter(({ values }) => values.some((value) => value !== undefined));
  const parts = [
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`,
    text(LEFT, 22, title, 'font-size="15" font-weight="bold"'),
    text(LEFT, 38, unit, 'fill="#555555"'),
    ...steps.flatMap((step) => [
      `<path d="M${LEFT} ${round(y(step))}H${WIDTH - RIGHT}" stroke="#dddddd"/>`,
      text(LEFT - 8, y(step) + 4, String(step), 'text-anchor="end"'),
    ]),
    ...ticks.map((tick, i) => text(x(i), HEIGHT - BOTTOM + 18, tick, 'text-anchor="middle"')),
    text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, label, 'text-anchor="middle" fill="#555555"'),
    ...shown.flatMap(({ title: name, values, colour }, i) => {
      const points = values.flatMap((value, at) =>
        value === undefined ? [] : [{ x: round(x(at)), y: round(y(value)) }],
      );
      const legend = TOP + 10 + i * 20;
      return [
        `<path d="${points.map((point, at) => `${at === 0 ? 'M' : 'L'}${point.x} ${point.y}`).join('')}" fill="none" stroke="${colour}" stroke-width="2"/>`,
        ...points.map((point) => `<circle cx="${point.x}" cy="${point.y}" r="3.5" fill="${colour}"/>`),
        `<rect x="${WIDTH - RIGHT + 16}" y="${legend - 9}" width="10" height="10" fill="${colour}"/>`,
        text(WIDTH - RIGHT + 32, legend, name),
      ];
    }),
  ];
  const head = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" font-family="sans-serif" font-size="12" fill="#222222" role="img">`;
  return [head, `<title>${escape(title)}</title>`, ...parts, '</svg>', ''].join('\n');
}

/** Four to eight round numbers from 0 to at least `most`. */
export function stepsUpTo(most: number): number[] {
  const rough = (most > 0 ? most : 1) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough)!;
  const count = Math.max(1, Math.ceil((most > 0 ? most : 1) / step - 1e-9));
  return Array.from({ length: count + 1 }, (_, i) => Number((i * step).toPrecision(6)));
}

function text(x: number, y: number, content: string, attributes = ''): string {
  return `<text x="${round(x)}" y="${round(y)}" ${attributes}>${escape(content)}</text>`;
}

const round = (value: number): number => Math.round(value * 10) / 10;

const escape = (content: string): string =>
  content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
