// The block of a page that a program writes, between two comments.

const [begin, end] = ['<!-- accuracy-table: begin -->', '<!-- accuracy-table: end -->'];

/**
 * @param {string} page - its text
 * @returns {string} the page with `block` between the two comments
 * @throws Error unless both are there once, in this order
 */
export function withBlock(page, block) {
  const [from, to] = [begin, end].map((mark) => page.indexOf(mark));
  const isTwice = [begin, end].some((mark) => page.split(mark).length > 2);
  if (from < 0 || to < from || isTwice) {
    throw new Error(
      `accuracy-table: the page has not one "${begin}" with one "${end}" after it. Put them where the tables belong.`,
    );
  }
  return `${page.slice(0, from + begin.length)}\n\n${block}\n\n${page.slice(to)}`;
}
