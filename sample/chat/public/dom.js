/** The element of that id. */
export const $ = (id) => document.getElementById(id);

/** A new element with properties; children are elements and texts, never markup. */
export function element(tag, properties = {}, ...children) {
  const { dataset = {}, ...rest } = properties;
  const made = Object.assign(document.createElement(tag), rest);
  Object.assign(made.dataset, dataset);
  made.append(...children);
  return made;
}

export const time = (at) => new Date(at).toLocaleTimeString([], { hour12: false });

/** The small coloured square before the name of a node. */
export function mark(node) {
  const made = element('span', { className: 'mark', ariaHidden: 'true' });
  made.style.setProperty('--hue', hue(node));
  return made;
}

/** Names that differ in one letter only have hues far apart. */
function hue(name) {
  const sum = [...name].reduce((total, letter) => total + letter.codePointAt(0), 0);
  return Math.round(sum * 137.5) % 360;
}

/** Appends to a log, keeps its last `most` entries, and its end in view unless the reader has scrolled up. */
export function append(log, entry, most = 500) {
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  log.append(entry);
  while (log.children.length > most) log.firstElementChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
}
