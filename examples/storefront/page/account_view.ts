// What a customer who is logged in sees of their own: store credit, its statement, the cards
// they keep, their payments.
import { MyAccountDocument, type MyAccountQuery } from '../generated/page.ts';
import { askAs } from './customer.ts';
import {
  button,
  capitalized,
  element,
  failed,
  instant,
  notice,
  show,
  waiting,
} from './elements.ts';
import { Refused } from './gateway.ts';
import { keptCard } from './kept_cards.ts';
import { shop, ShopProblem, type Visitor } from './shop_server.ts';

type Customer = NonNullable<MyAccountQuery['customer']>;
type Wallet = Customer['wallets'][number];

const KINDS: Record<string, string> = {
  store_credit_grant: 'A gift from the shop',
  store_credit_spend: 'Spent on an order',
  store_credit_refund: 'Given back',
};
const STATUSES: Record<string, string> = {
  AUTHORIZED: 'Reserved',
  CANCELED: 'Canceled',
  CAPTURED: 'Paid',
  PROCESSING: 'Waiting for the bank',
  REQUIRES_ACTION: 'Waiting for you',
  REQUIRES_CONFIRMATION: 'Not paid yet',
  REQUIRES_PAYMENT_METHOD: 'Not paid yet',
};

export async function showAccount(): Promise<void> {
  show('Your account', waiting('Looking you up …'));
  try {
    const visitor = await shop.visitor();
    if (visitor.customerId === null) showLogin(visitor);
    else showCustomer(await customer(visitor.customerId));
  } catch (error) {
    if (error instanceof ShopProblem && error.status === 401) showLogin(await shop.visitor());
    else
      show(
        'Your account',
        failed(error, () => void showAccount()),
      );
  }
}

/** Raises ShopProblem 401 for who is not logged in any more. */
async function customer(customerId: string): Promise<Customer> {
  const { customer } = await askAs(customerId, MyAccountDocument, {});
  if (customer === null) throw new Refused('UNAUTHENTICATED', 'The account cannot be shown.');
  return customer;
}

function showLogin(visitor: Visitor): void {
  const logIn = async (customerId: string) => {
    show('Your account', waiting('Logging in …'));
    await shop.logIn(customerId);
    await showAccount();
  };
  const choices = visitor.customers.map((one) =>
    button(`Log in as ${capitalized(one)}`, () => {
      logIn(one).catch((error: unknown) =>
        show(
          'Your account',
          failed(error, () => void showAccount()),
        ),
      );
    }),
  );
  show(
    'Log in',
    element('p', {}, 'This is an example: nobody asks for a password.'),
    element('p', { class: 'choices' }, ...choices),
  );
}

function showCustomer(customer: Customer): void {
  const logOut = async () => {
    showLogin(await shop.logOut());
  };
  show(
    `Hello, ${capitalized(customer.id)}`,
    element(
      'p',
      { class: 'choices' },
      button('Look again', () => void showAccount()),
      button('Log out', () => void logOut()),
    ),
    ...customer.wallets.map(wallet),
    customer.wallets.length === 0 ? notice('good', 'You have no store credit yet.') : null,
    cards(customer),
    payments(customer),
  );
}

function wallet({ balance, available, currency, entries }: Wallet): HTMLElement {
  const rows = entries.nodes.map((entry) => [
    instant(entry.postedAt),
    linked(entry.payment?.reference ?? null, KINDS[entry.kind] ?? entry.kind.replaceAll('_', ' ')),
    entry.amount.formatted,
    entry.runningBalance.formatted,
  ]);
  return element(
    'section',
    {},
    element('h2', {}, 'Store credit'),
    element(
      'p',
      { class: 'balance' },
      element('strong', {}, balance.formatted),
      ` · ${available.formatted} to spend`,
    ),
    table(`Statement in ${currency}`, ['When', 'What', 'Amount', 'Balance'], rows),
  );
}

function cards({ id, savedMethods }: Customer): HTMLElement {
  const lines = savedMethods.nodes.map((card) => keptCard(id, card, () => void showAccount()));
  const nothing = element('p', { class: 'quiet' }, 'You keep none. You can at your next order.');
  return element(
    'section',
    { class: 'cards' },
    element('h2', {}, 'Your cards'),
    lines.length === 0 ? nothing : element('ul', { class: 'lines' }, ...lines),
  );
}

function payments({ payments }: Customer): HTMLElement {
  const rows = payments.nodes.map((payment) => [
    instant(payment.createdAt),
    linked(payment.reference, (payment.reference ?? payment.id).slice(0, 14)),
    STATUSES[payment.status] ?? payment.status.toLowerCase().replaceAll('_', ' '),
    payment.amount.formatted,
  ]);
  const nothing = element('p', { class: 'quiet' }, 'You have not ordered anything yet.');
  return element(
    'section',
    {},
    element('h2', {}, 'Your payments'),
    rows.length === 0
      ? nothing
      : table('The newest first', ['When', 'Order', 'Status', 'Amount'], rows),
  );
}

function linked(order: string | null, text: string): Node | string {
  return order === null ? text : element('a', { href: `/orders/${order}` }, text);
}

/** On a phone each row becomes a block that names its cells. */
function table(caption: string, titles: string[], rows: (Node | string)[][]): HTMLElement {
  const head = element(
    'tr',
    {},
    ...titles.map((title) => element('th', { scope: 'col', 'data-title': title }, title)),
  );
  const body = rows.map((row) =>
    element(
      'tr',
      {},
      ...row.map((cell, index) => element('td', { 'data-title': titles[index] ?? '' }, cell)),
    ),
  );
  return element(
    'table',
    {},
    element('caption', {}, caption),
    element('thead', {}, head),
    element('tbody', {}, ...body),
  );
}
