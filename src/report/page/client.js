/* Unpacks parts of the page when they are asked for, shows pictures, and sorts tables. */
const byId = (id) => document.getElementById(id);
let pictures;

/* Puts a packed part of the page into an element. */
async function unpack(id, element) {
  const packed = Uint8Array.from(atob(byId(`block-${id}`).textContent), (char) => char.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'));
  element.innerHTML = await new Response(stream).text();
  pictures ??= byId('pictures').textContent.trim().split('\n');
  for (const image of element.querySelectorAll('img[data-picture]')) {
    image.src = pictures[image.dataset.picture];
  }
}

/* `toggle` does not bubble, but it is captured. */
document.addEventListener(
  'toggle',
  ({ target }) => {
    const { block } = target.dataset;
    if (block === undefined || !target.open || target.querySelector('.block') !== null) return;
    const place = document.createElement('div');
    place.className = 'block';
    target.append(place);
    void unpack(block, place);
  },
  true,
);

/* `#class-3` shows the page of a class in place of the report. */
const number = (id) => (byId(`block-${id}`) ? /^class-(\d+)$/.exec(id)?.[1] : undefined);
let scrolled = 0;
let shown;

async function route() {
  const id = location.hash.slice(1);
  const wanted = number(id);
  if (wanted !== undefined && shown === undefined) scrolled = scrollY;
  const wasShown = shown;
  shown = wanted;
  byId('report').hidden = wanted !== undefined;
  byId('class-page').hidden = wanted === undefined;
  if (wanted === undefined) {
    if (wasShown === undefined) return;
    if (id === '') scrollTo(0, scrolled);
    else byId(id)?.scrollIntoView();
    return;
  }
  for (const [name, step] of [
    ['previous', -1],
    ['next', 1],
  ]) {
    const other = `class-${Number(wanted) + step}`;
    byId(name).hidden = number(other) === undefined;
    byId(name).href = `#${other}`;
  }
  await unpack(id, byId('class-content'));
  scrollTo(0, 0);
}
addEventListener('hashchange', route);
void route();

/* Sorts a table by the column whose head is clicked, and the other way round at the next click. */
document.addEventListener('click', ({ target }) => {
  const head = target.closest('thead button')?.parentElement;
  if (!head) return;
  const direction = head.ariaSort === 'descending' ? 1 : -1;
  for (const other of head.parentElement.cells) other.ariaSort = null;
  head.ariaSort = direction === 1 ? 'ascending' : 'descending';
  const key = ({ cells }) => {
    const cell = cells[head.cellIndex];
    return cell.dataset.sort === undefined ? cell.textContent.trim() : Number(cell.dataset.sort);
  };
  const compare = (a, b) => {
    if (a === '' || b === '') return Number(a === '') - Number(b === ''); // Empty cells come last.
    return (
      direction *
      (typeof a === 'number' && typeof b === 'number' ? a - b : String(a).localeCompare(String(b)))
    );
  };
  const body = head.closest('table').tBodies[0];
  body.append(...[...body.rows].sort((a, b) => compare(key(a), key(b))));
});
