// Building the page: elements with attributes, listeners and children. Text is never parsed as HTML.

type Attributes = Record<string, string | boolean | ((event: Event) => void)>;
type Child = Node | string | null;

export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') made.addEventListener(name, value);
    else if (typeof value === 'string') made.setAttribute(name, value);
    else made.toggleAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** What the page shows, replaced as a whole. Who had pressed something in it is taken to the heading. */
export function show(title: string, ...children: Child[]): void {
  const main = document.querySelector('main');
  if (main === null) throw new Error('the page has no <main>');
  document.title = `${title} · Double Entry`;
  const heading = element('h1', { tabindex: '-1' }, title);
  const hadFocus = main.contains(document.activeElement);
  main.replaceChildren(heading, ...children.filter((child) => child !== null));
  if (hadFocus) heading.focus();
}

/** Something is going on: said aloud, too. */
export function waiting(text: string): HTMLElement {
  const spinner = element('span', { class: 'spinner', 'aria-hidden': 'true' });
  return element('p', { class: 'notice waiting', role: 'status' }, spinner, text);
}

export function notice(kind: 'good' | 'bad', ...children: Child[]): HTMLElement {
  return element(
    'div',
    { class: `notice ${kind}`, role: kind === 'bad' ? 'alert' : 'status' },
    ...children,
  );
}

export function button(
  text: string,
  press: () => void,
  attributes: Attributes = {},
): HTMLButtonElement {
  return element('button', { type: 'button', click: () => press(), ...attributes }, text);
}

/** A failure, and a way to try again. */
export function failed(error: unknown, again: () => void): HTMLElement {
  const text = error instanceof Error ? error.message : String(error);
  return notice('bad', element('p', {}, text), button('Try again', again));
}

export function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function price(minorUnits: number, currency: string): string {
  const format = new Intl.NumberFormat('en', { style: 'currency', currency });
  return format.format(minorUnits / 100);
}

export function instant(text: string): HTMLElement {
  const format = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short' });
  return element('time', { datetime: text }, format.format(new Date(text)));
}
