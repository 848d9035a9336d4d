// One order: pay, try again, go to the bank, wait, done. What is shown follows from the payment.
import * as cart from './cart.ts';
import { button, element, failed, notice, price, show, waiting } from './elements.ts';
import { Refused, Unreachable } from './gateway.ts';
import { cardName, expiry, keptCards, type Card } from './kept_cards.ts';
import {
  CardGone,
  changes,
  confirm,
  paymentOf,
  stageOf,
  testTokens,
  type Payment,
  type Wish,
} from './paying.ts';
import { shop, type Order } from './shop_server.ts';

const LABELS: Record<string, string> = {
  tok_success: 'A card that works',
  tok_decline_insufficient_funds: 'A card without enough money',
  tok_requires_action: 'A card that asks for 3-D Secure',
  tok_timeout_after: 'A card whose answer gets lost',
};

export async function showOrder(id: string): Promise<void> {
  show('Your order', waiting('Loading your order …'));
  // Coming back from the bank, the address carries a hint; what is so, the gateway is asked.
  history.replaceState(null, '', location.pathname);
  const order = await shop.order(id);
  await orFail(order, async () => showPayment(order, await paymentOf(order)));
}

/** A failure is shown with the order; the way on is to look again. */
async function orFail(order: Order, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    const isGone = error instanceof CardGone;
    if (isGone || isUndecided(error))
      return orFail(order, async () => showPayment(order, await paymentOf(order), isGone));
    const safe = element('p', {}, 'You can safely try again: nothing is charged twice.');
    show(
      'Your order',
      summary(order),
      failed(error, () => void showOrder(order.id)),
      safe,
    );
  }
}

const UNDECIDED = ['INVALID_STATE', 'OPERATION_IN_PROGRESS', 'OUTCOME_UNKNOWN'];

/** Another tab, or an earlier try whose answer was lost, was faster: look how it stands. */
function isUndecided(error: unknown): boolean {
  return error instanceof Refused && UNDECIDED.includes(error.code);
}

/** `isGone`: the kept card it was to be paid with is not kept any more. */
async function showPayment(order: Order, payment: Payment, isGone = false): Promise<void> {
  switch (stageOf(payment)) {
    case 'choose':
      return choose(order, payment, isGone);
    case 'act':
      return act(order, payment);
    case 'wait':
      return wait(order);
    case 'paid':
      return thank(order);
    case 'over':
      return show('This order was not paid', summary(order), startAgain());
  }
}

async function choose(order: Order, payment: Payment, isGone: boolean): Promise<void> {
  show('Pay', summary(order), waiting('Asking for ways to pay …'));
  const [tokens, kept] = isCovered(order)
    ? [[], []]
    : await Promise.all([testTokens(order), keptBy(order)]);
  const declined = isGone ? null : payment.lastDecline;
  const problem = isGone ? 'You do not keep this card any more.' : declined?.customerMessage;
  const told =
    problem === undefined
      ? null
      : notice(
          'bad',
          element('p', {}, problem),
          element('p', {}, 'Nothing was charged. Please try another card.'),
        );
  show(
    declined === null ? 'Pay' : 'Your card was declined',
    told,
    summary(order),
    form(order, tokens, kept),
  );
}

async function keptBy({ customerId }: Order): Promise<Card[]> {
  return customerId === null ? [] : keptCards(customerId);
}

function form(order: Order, tokens: string[], kept: Card[]): HTMLElement {
  const pay = (event: Event) => {
    event.preventDefault();
    const wish = wishIn(new FormData(made), kept);
    void orFail(order, () => tryToPay(order, wish));
  };
  const made = element(
    'form',
    { class: 'pay', submit: pay },
    kept.length === 0 ? null : keptChoices(kept),
    isCovered(order) ? null : cards(tokens, kept.length > 0),
    isCovered(order) || order.customerId === null ? null : keepBox(),
    element('button', { class: 'primary' }, `Pay ${price(order.totalMinor, order.currency)}`),
    element('p', { class: 'quiet' }, 'This is the simulator: no real money moves.'),
  );
  return made;
}

function wishIn(form: FormData, kept: Card[]): Wish {
  const chosen = form.get('card');
  if (chosen === null) return { method: null };
  const card = kept.find(({ id }) => id === chosen);
  return card === undefined
    ? { method: { token: String(chosen) }, saveMethod: form.has('keep') }
    : { method: { savedMethodId: card.id } };
}

function keptChoices(kept: Card[]): HTMLElement {
  return element(
    'fieldset',
    { class: 'kept' },
    element('legend', {}, 'Your cards'),
    ...kept.map((card, index) => choice(card.id, index === 0, cardName(card), expiry(card))),
  );
}

/** Kept only if the customer says so: never ticked beforehand. */
function keepBox(): HTMLElement {
  return element(
    'label',
    { class: 'choice keep' },
    element('input', { type: 'checkbox', name: 'keep' }),
    element('span', {}, 'Keep this card for next time'),
  );
}

/** Here a real provider's own script shows its card fields. */
function cards(tokens: string[], hasKept: boolean): HTMLElement {
  const known = Object.keys(LABELS).filter((token) => tokens.includes(token));
  const others = tokens.filter((token) => !known.includes(token));
  return element(
    'fieldset',
    {},
    element('legend', {}, hasKept ? 'Or a new test card' : 'Test card'),
    ...known.map((token, index) => testCard(token, index === 0 && !hasKept)),
    element(
      'details',
      {},
      element('summary', {}, 'More test cards'),
      ...others.map((token) => testCard(token, false)),
    ),
  );
}

function testCard(token: string, checked: boolean): HTMLElement {
  const label = LABELS[token] ?? token.replace(/^tok_/, '').replaceAll('_', ' ');
  return choice(token, checked, label, element('code', {}, token));
}

function isCovered(order: Order): boolean {
  return order.creditMinor === order.totalMinor;
}

function choice(value: string, checked: boolean, text: string, detail: HTMLElement): HTMLElement {
  const input = element('input', { type: 'radio', name: 'card', value, required: true, checked });
  return element('label', { class: 'choice' }, input, element('span', {}, text), detail);
}

async function tryToPay(order: Order, wish: Wish): Promise<void> {
  show('Paying', summary(order), waiting('Asking your bank … please do not close this page.'));
  const payment = await confirm(order, wish);
  cart.empty();
  const url = payment.nextAction?.url ?? null;
  if (stageOf(payment) === 'act' && url !== null) location.assign(url);
  else await showPayment(order, payment);
}

async function act(order: Order, payment: Payment): Promise<void> {
  const url = payment.nextAction?.url ?? null;
  if (url === null) return wait(order);
  show(
    'Your bank wants to know that it is you',
    summary(order),
    element('p', {}, 'Continue to your bank; it sends you back here.'),
    button('Continue to your bank', () => location.assign(url), { class: 'primary' }),
  );
}

/** Nobody knows yet whether money moved, so there is nothing to press: the gateway finds out. */
async function wait(order: Order): Promise<void> {
  show(
    'We are waiting for your bank',
    summary(order),
    waiting('This can take a minute. Please do not pay again: this page goes on by itself.'),
  );
  for await (const payment of changes(order)) {
    if (stageOf(payment) !== 'wait') return showPayment(order, payment);
  }
  throw new Unreachable();
}

async function thank(order: Order): Promise<void> {
  cart.empty();
  show('Thank you', summary(order), waiting('Your payment arrived. Telling the shop …'));
  const { isPaid } = await shop.order(order.id);
  const next = isPaid
    ? 'Your parcel is being packed.'
    : 'Your parcel is packed when the money is here.';
  show(
    'Thank you',
    notice('good', element('p', {}, `Your payment arrived. ${next}`)),
    summary(order),
    element('p', {}, element('a', { href: '/' }, 'Back to the shop')),
  );
}

function startAgain(): HTMLElement {
  return element('p', {}, element('a', { href: '/' }, 'Start again'));
}

function summary(order: Order): HTMLElement {
  const lines = order.lines.map((line) =>
    element(
      'li',
      {},
      element('span', {}, `${line.quantity} × ${line.name}`),
      element('span', { class: 'amount' }, price(line.priceMinor * line.quantity, order.currency)),
    ),
  );
  const credited =
    order.creditMinor === 0
      ? []
      : [
          amountLine('total', 'Store credit', -order.creditMinor, order.currency),
          amountLine('total', 'By card', order.totalMinor - order.creditMinor, order.currency),
        ];
  return element(
    'section',
    { class: 'summary', 'aria-label': 'Order' },
    element('ul', { class: 'lines' }, ...lines),
    amountLine('total', 'Total', order.totalMinor, order.currency),
    ...credited,
  );
}

function amountLine(kind: string, name: string, minorUnits: number, currency: string): HTMLElement {
  return element(
    'p',
    { class: kind },
    `${name} `,
    element('strong', {}, price(minorUnits, currency)),
  );
}
