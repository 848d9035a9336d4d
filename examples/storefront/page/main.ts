// Which view an address shows.
import { showAccount } from './account_view.ts';
import * as cart from './cart.ts';
import { element, failed, show } from './elements.ts';
import { showOrder } from './order_view.ts';
import { showProducts } from './products_view.ts';

function countPieces(): void {
  const count = document.querySelector('#pieces');
  if (count !== null) count.textContent = String(cart.pieces());
}

async function showAddress(): Promise<void> {
  const { pathname } = location;
  const order = /^\/orders\/([\w-]+)$/.exec(pathname)?.[1];
  if (order !== undefined) await showOrder(order);
  else if (pathname === '/account') await showAccount();
  else if (pathname === '/') await showProducts();
  else show('There is nothing here', element('p', {}, element('a', { href: '/' }, 'To the shop')));
}

function start(): void {
  showAddress().catch((error: unknown) => {
    show('Something went wrong', failed(error, start));
  });
}

addEventListener('cart', countPieces);
countPieces();
start();
