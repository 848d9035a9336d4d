// One order: pay, try again, go to the bank, wait, done. What is shown follows from the payment.
import * as cart from './cart.ts';
import { button, element, failed, notice, price, show, waiting } from './elements.ts';
import { Refused, Unreachable } from './gateway.ts';
import { changes, confirm, paymentOf, stageOf, testTokens, type Payment } from './paying.ts';
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
    if (isUndecided(error))
      return orFail(order, async () => showPayment(order, await paymentOf(order)));
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

async function showPayment(order: Order, payment: Payment): Promise<void> {
  switch (stageOf(payment)) {
    case 'choose':
      return choose(order, payment);
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

async function choose(order: Order, payment: Payment): Promise<void> {
  show('Pay', summary(order), waiting('Asking for ways to pay …'));
  const tokens = isCovered(order) ? [] : await testTokens(order);
  const declined = payment.lastDecline;
  const told =
    declined === null
      ? null
      : notice(
          'bad',
          element('p', {}, declined.customerMessage),
          element('p', {}, 'Nothing was charged. Please try another card.'),
        );
  show(
    declined === null ? 'Pay' : 'Your card was declined',
    told,
    summary(order),
    form(order, tokens),
  );
}

function form(order: Order, tokens: string[]): HTMLElement {
  const pay = (event: Event) => {
    event.preventDefault();
    const token = new FormData(made).get('token');
    void orFail(order, () => tryToPay(order, token === null ? null : String(token)));
  };
  const made = element(
    'form',
    { class: 'pay', submit: pay },
    isCovered(order) ? null : cards(tokens),
    element('button', { class: 'primary' }, `Pay ${price(order.totalMinor, order.currency)}`),
    element('p', { class: 'quiet' }, 'This is the simulator: no real money moves.'),
  );
  return made;
}

/** Here a real provider's own script shows its card fields. */
function cards(tokens: string[]): HTMLElement {
  const known = Object.keys(LABELS).filter((token) => tokens.includes(token));
  const others = tokens.filter((token) => !known.includes(token)).map((one) => choice(one, false));
  return element(
    'fieldset',
    {},
    element('legend', {}, 'Test card'),
    ...known.map((token, index) => choice(token, index === 0)),
    element('details', {}, element('summary', {}, 'More test cards'), ...others),
  );
}

function isCovered(order: Order): boolean {
  return order.creditMinor === order.totalMinor;
}

function choice(token: string, checked: boolean): HTMLElement {
  const input = element('input', {
    type: 'radio',
    name: 'token',
    value: token,
    required: true,
    checked,
  });
  const label = LABELS[token] ?? token.replace(/^tok_/, '').replaceAll('_', ' ');
  return element(
    'label',
    { class: 'choice' },
    input,
    element('span', {}, label),
    element('code', {}, token),
  );
}

async function tryToPay(order: Order, token: string | null): Promise<void> {
  show('Paying', summary(order), waiting('Asking your bank … please do not close this page.'));
  const payment = await confirm(order, token);
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
