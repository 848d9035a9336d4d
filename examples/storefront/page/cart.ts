// The cart, kept for this tab, with the key of the order it is about to become.
import type { Line } from './shop_server.ts';

const CART = 'cart';
const CREDIT = 'use-credit';
const ORDER_KEY = 'order-key';

export function lines(): Line[] {
  return JSON.parse(sessionStorage.getItem(CART) ?? '[]') as Line[];
}

export function pieces(): number {
  return lines().reduce((sum, line) => sum + line.quantity, 0);
}

/** Another cart is another order, so it gets another key. */
export function setQuantity(productId: string, quantity: number): void {
  const others = lines().filter((line) => line.productId !== productId);
  const changed = quantity > 0 ? [...others, { productId, quantity }] : others;
  keep(CART, JSON.stringify(changed));
}

/** Whether the customer wants to pay with store credit first. */
export function usesCredit(): boolean {
  return sessionStorage.getItem(CREDIT) === 'yes';
}

export function setUsesCredit(wanted: boolean): void {
  keep(CREDIT, wanted ? 'yes' : 'no');
}

function keep(name: string, text: string): void {
  sessionStorage.setItem(name, text);
  sessionStorage.removeItem(ORDER_KEY);
  dispatchEvent(new Event('cart'));
}

export function quantityOf(productId: string): number {
  return lines().find((line) => line.productId === productId)?.quantity ?? 0;
}

/** Made before the first try and kept, so that every try places the same order. */
export function orderKey(): string {
  const key = sessionStorage.getItem(ORDER_KEY) ?? crypto.randomUUID();
  sessionStorage.setItem(ORDER_KEY, key);
  return key;
}

export function empty(): void {
  keep(CART, '[]');
}
