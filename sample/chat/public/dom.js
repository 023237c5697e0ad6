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

/** Changes a text only if it is another, so that a screen reader is not told the same again. */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/**
 * A list of what comes, in a box of its own that scrolls. The end stays in view, also when the box becomes smaller,
 * unless the reader has scrolled up.
 */
export class Log {
  #list;
  #box;
  #most;
  #atEnd = true;

  /** @param most how many entries are kept */
  constructor(list, most) {
    this.#list = list;
    this.#box = list.parentElement;
    this.#most = most;
    this.#box.addEventListener('scroll', () => {
      this.#atEnd = this.#box.scrollHeight - this.#box.scrollTop - this.#box.clientHeight < 40;
    });
    new ResizeObserver(() => this.#follow()).observe(this.#box);
  }

  append(entry) {
    this.#list.append(entry);
    while (this.#list.children.length > this.#most) this.#list.firstElementChild.remove();
    this.#follow();
  }

  clear() {
    this.#list.replaceChildren();
    this.toEnd();
  }

  toEnd() {
    this.#atEnd = true;
    this.#follow();
  }

  #follow() {
    if (this.#atEnd) this.#box.scrollTop = this.#box.scrollHeight;
  }
}
