import { element, setText } from './dom.js';

/** Milliseconds that a plot goes back. */
const SPAN = 120_000;
const SVG = 'http://www.w3.org/2000/svg';
const WIDTH = 240;
const HEIGHT = 40;
/** Parts of a row's height that show a state, so that it is told not by its colour alone. */
const HEIGHTS = { up: 1, suspect: 0.55, down: 0.2, left: 0.2 };

/** Where a moment is on the plot, from its left edge. */
const toX = (at, now) => WIDTH * (1 - Math.min(SPAN, now - at) / SPAN);

/** The numbers of the last two minutes as an area, and the last and the highest of them as texts. */
export class NumberPlot {
  #root;
  #unit;
  #area = draw('path', { class: 'area' });
  #line = draw('path', { class: 'line', 'vector-effect': 'non-scaling-stroke' });
  #last = element('b', {}, '–');
  #most = element('span', { className: 'most' });
  /** What was measured and when, by the page's clock; an undefined value is a time without measurements. */
  #points = [];

  /** @param unit follows each number in texts */
  constructor(root, title, unit) {
    this.#root = root;
    this.#unit = unit;
    const svg = draw('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' });
    svg.append(this.#area, this.#line);
    root.append(element('figcaption', {}, element('span', {}, title), ' ', this.#last, ' ', this.#most), svg);
  }

  add(value, now = performance.now()) {
    const last = this.#points.at(-1);
    if (value === undefined && (last === undefined || last.value === undefined)) return;
    this.#points.push({ at: now, value });
    // One before the plot's edge stays: the line begins with it.
    while (this.#points.length > 1 && now - this.#points[1].at > SPAN) this.#points.shift();
  }

  show(now = performance.now()) {
    const most = Math.max(0, ...this.#points.map(({ value }) => value ?? 0));
    const top = Math.max(1, most);
    const toY = (value) => HEIGHT - 1 - (HEIGHT - 3) * (value / top);
    let line = '';
    let area = '';
    let from;
    const close = (x) => {
      if (from !== undefined) area += `L${x},${HEIGHT}L${from},${HEIGHT}Z`;
      from = undefined;
    };
    for (const [i, { at, value }] of this.#points.entries()) {
      const x = toX(at, now).toFixed(1);
      if (value === undefined) {
        close(toX(this.#points[i - 1].at, now).toFixed(1));
        continue;
      }
      const point = `${from === undefined ? 'M' : 'L'}${x},${toY(value).toFixed(1)}`;
      from ??= x;
      line += point;
      area += point;
    }
    if (from !== undefined) close(toX(this.#points.at(-1).at, now).toFixed(1));
    this.#line.setAttribute('d', line);
    this.#area.setAttribute('d', area);

    const last = this.#points.at(-1)?.value;
    this.#root.dataset.known = String(last !== undefined);
    setText(this.#last, last === undefined ? '–' : format(last) + this.#unit);
    setText(this.#most, this.#points.length === 0 ? '' : `most ${format(most)}${this.#unit}`);
  }
}

/** A row for each node: in which state it was, from when to when. */
export class StatePlot {
  #list;
  /** By the node's key: its row, and its states with the moment from which on. */
  #rows = new Map();

  constructor(root) {
    this.#list = root;
  }

  /** @param nodes key, name and state of each; a state that is undefined is not known */
  add(nodes, now = performance.now()) {
    for (const { key, name, state } of nodes) {
      const row = this.#rows.get(key) ?? this.#addRow(key, name);
      if (row.states.length === 0 || row.states.at(-1).state !== state) row.states.push({ at: now, state });
    }
    for (const [key, row] of this.#rows) {
      const isListed = nodes.some((node) => node.key === key);
      if (!isListed && row.states.at(-1).state !== undefined) row.states.push({ at: now, state: undefined });
    }
  }

  show(now = performance.now()) {
    for (const [key, row] of this.#rows) {
      while (row.states.length > 1 && now - row.states[1].at > SPAN) row.states.shift();
      const isGone = row.states.length === 1 && row.states[0].state === undefined && now - row.states[0].at > SPAN;
      if (isGone) {
        row.root.remove();
        this.#rows.delete(key);
        continue;
      }
      const bars = row.states.map(({ at, state }, i) => {
        const from = toX(at, now);
        const to = i + 1 < row.states.length ? toX(row.states[i + 1].at, now) : WIDTH;
        const height = 10 * (HEIGHTS[state] ?? 0);
        const bar = draw('rect', { x: from, y: 10 - height, width: Math.max(0, to - from), height });
        bar.dataset.state = state ?? 'unknown';
        return bar;
      });
      row.svg.replaceChildren(...bars);
      setText(row.text, summary(row.states, now));
    }
  }

  #addRow(key, name) {
    const svg = draw('svg', { viewBox: `0 0 ${WIDTH} 10`, preserveAspectRatio: 'none', 'aria-hidden': 'true' });
    const text = element('span', { className: 'hidden' });
    const root = element('li', {}, element('span', { className: 'of' }, name), svg, text);
    this.#list.append(root);
    const row = { root, svg, text, states: [] };
    this.#rows.set(key, row);
    return row;
  }
}

/** For those who do not see the row: what it is now, and how often that has changed. */
function summary(states, now) {
  const { at, state } = states.at(-1);
  const changes = states.length - 1;
  const minutes = Math.floor((now - at) / 60_000);
  const since = minutes === 0 ? 'for less than a minute' : 'for more than a minute';
  return `: ${state ?? 'not known'} ${since}, ${changes === 1 ? '1 change' : `${changes} changes`} in two minutes`;
}

function draw(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

const format = (value) => (value < 10 ? Number(value.toFixed(1)) : Math.round(value)).toLocaleString('en');
