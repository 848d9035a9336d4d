// What is sold, and for how much. Pages name products and quantities; prices are decided here.

export const CURRENCY = 'EUR';
const QUANTITY_MAX = 20;

export interface Product {
  id: string;
  name: string;
  description: string;
  /** In cents; a whole number. */
  priceMinor: number;
}

export interface Line {
  productId: string;
  quantity: number;
}

/** The cart cannot be sold as it is. */
export class BadCart extends Error {}

export const PRODUCTS: readonly Product[] = [
  {
    id: 'notebook',
    name: 'Ledger notebook',
    description: 'Two columns on every page, 192 pages, lies flat.',
    priceMinor: 1850,
  },
  {
    id: 'mug',
    name: 'Balance mug',
    description: 'Holds 300 ml. What goes in comes out.',
    priceMinor: 1290,
  },
  {
    id: 'stamp',
    name: 'PAID stamp',
    description: 'Self-inking. For when it really is.',
    priceMinor: 2400,
  },
];

/** The lines, each product once and in a fixed order. Raises BadCart. */
export function checkedLines(given: unknown): Line[] {
  if (!Array.isArray(given) || given.length === 0) throw new BadCart('The cart is empty.');
  const lines = given.map(checkedLine).sort((a, b) => a.productId.localeCompare(b.productId));
  const isTwice = lines.some((line, index) => line.productId === lines[index - 1]?.productId);
  if (isTwice) throw new BadCart('A product is listed twice.');
  return lines;
}

function checkedLine(given: unknown): Line {
  const { productId, quantity } = Object(given) as Record<string, unknown>;
  const product = PRODUCTS.find((one) => one.id === productId);
  if (product === undefined) throw new BadCart('There is no such product.');
  if (!Number.isInteger(quantity) || Number(quantity) < 1 || Number(quantity) > QUANTITY_MAX) {
    throw new BadCart(`From 1 to ${QUANTITY_MAX} pieces of each product can be ordered.`);
  }
  return { productId: product.id, quantity: Number(quantity) };
}

/** In cents. */
export function totalMinor(lines: readonly Line[]): number {
  return lines.reduce((sum, line) => sum + productOf(line).priceMinor * line.quantity, 0);
}

export function productOf(line: Line): Product {
  const product = PRODUCTS.find((one) => one.id === line.productId);
  if (product === undefined) throw new BadCart('There is no such product.');
  return product;
}
