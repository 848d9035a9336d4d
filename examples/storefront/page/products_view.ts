// The shop window and the cart.
import * as cart from './cart.ts';
import { button, element, failed, price, show, waiting } from './elements.ts';
import { shop, type Product, type Visitor } from './shop_server.ts';

export async function showProducts(): Promise<void> {
  show('Things that add up', waiting('Opening the shop …'));
  const [{ currency, products }, visitor] = await Promise.all([shop.products(), shop.visitor()]);
  const summary = element('section', { class: 'cart', 'aria-labelledby': 'cart' });
  const update = () => summary.replaceChildren(...cartOf(products, currency, visitor, update));
  const cards = products.map((product) => card(product, currency, update));
  show('Things that add up', element('ul', { class: 'products' }, ...cards), summary);
  update();
  // The link to the cart may have been followed from another page: it was not there yet.
  if (location.hash === '#cart') summary.scrollIntoView();
}

function card(product: Product, currency: string, update: () => void): HTMLElement {
  const add = () => {
    cart.setQuantity(product.id, Math.min(cart.quantityOf(product.id) + 1, 20));
    update();
  };
  return element(
    'li',
    { class: 'card' },
    element('img', { src: `/${product.id}.svg`, alt: '', width: '240', height: '160' }),
    element('h2', {}, product.name),
    element('p', {}, product.description),
    element(
      'p',
      { class: 'buy' },
      element('strong', {}, price(product.priceMinor, currency)),
      button('Add to cart', add, { 'aria-label': `Add ${product.name} to cart` }),
    ),
  );
}

function cartOf(
  products: Product[],
  currency: string,
  visitor: Visitor,
  update: () => void,
): Node[] {
  const heading = element('h2', { id: 'cart' }, 'Your cart');
  const chosen = products.filter((product) => cart.quantityOf(product.id) > 0);
  if (chosen.length === 0) return [heading, element('p', { class: 'quiet' }, 'Nothing in it yet.')];
  const total = chosen.reduce((sum, one) => sum + one.priceMinor * cart.quantityOf(one.id), 0);
  return [
    heading,
    element('ul', { class: 'lines' }, ...chosen.map((one) => line(one, currency, update))),
    element('p', { class: 'total' }, 'Total ', element('strong', {}, price(total, currency))),
    visitor.customerId === null ? loginHint() : credit(),
    checkout(),
  ];
}

function line(product: Product, currency: string, update: () => void): HTMLElement {
  const quantity = cart.quantityOf(product.id);
  const change = (by: number) => () => {
    cart.setQuantity(product.id, Math.min(quantity + by, 20));
    update();
  };
  return element(
    'li',
    {},
    element('span', {}, product.name),
    element(
      'span',
      { class: 'quantity' },
      button('−', change(-1), { 'aria-label': `One ${product.name} less` }),
      element('span', { 'aria-live': 'polite' }, String(quantity)),
      button('+', change(1), { 'aria-label': `One ${product.name} more` }),
    ),
    element('span', { class: 'amount' }, price(product.priceMinor * quantity, currency)),
  );
}

function credit(): HTMLElement {
  const box: HTMLInputElement = element('input', {
    type: 'checkbox',
    checked: cart.usesCredit(),
    change: () => cart.setUsesCredit(box.checked),
  });
  return element(
    'label',
    { class: 'choice' },
    box,
    element('span', {}, 'Pay with my store credit first'),
  );
}

function loginHint(): HTMLElement {
  const link = element('a', { href: '/account' }, 'Log in');
  return element('p', { class: 'quiet' }, link, ' to pay with store credit or a card you keep.');
}

function checkout(): HTMLElement {
  const place = async () => {
    area.replaceChildren(waiting('Placing your order …'));
    try {
      const { orderId } = await shop.placeOrder(cart.orderKey(), cart.lines(), cart.usesCredit());
      location.assign(`/orders/${orderId}`);
    } catch (error) {
      area.replaceChildren(failed(error, () => void place()));
    }
  };
  const area = element(
    'div',
    {},
    button('Check out', () => void place(), { class: 'primary' }),
  );
  return area;
}
