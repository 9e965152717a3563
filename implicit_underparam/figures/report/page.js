'use strict';
// Without this the page says all that it says with it.

for (const block of document.querySelectorAll('.command')) {
  const text = block.textContent;
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = 'Copy';
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = 'Copied';
    } catch {
      getSelection().selectAllChildren(block.querySelector('code'));
      button.textContent = 'Selected';
    }
  });
  block.prepend(button);
}

const table = document.getElementById('runs-table');
const body = table.tBodies[0];

function sortBy(head) {
  const up = head.getAttribute('aria-sort') !== 'ascending';
  const key = (row) => row.cells[head.cellIndex];
  const compare = (a, b) => {
    const [x, y] = [key(a).dataset.value, key(b).dataset.value];
    if (x === undefined) {
      return key(a).textContent.localeCompare(key(b).textContent, undefined,
        {numeric: true}) * (up ? 1 : -1);
    }
    if (x === '' || y === '') return (x === '') - (y === '');
    return (x - y) * (up ? 1 : -1);
  };
  for (const other of table.tHead.rows[0].cells) {
    other.removeAttribute('aria-sort');
  }
  head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
  body.append(...[...body.rows].sort(compare));
}

for (const head of [...table.tHead.rows[0].cells].slice(0, -1)) {
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = head.textContent;
  button.addEventListener('click', () => sortBy(head));
  head.replaceChildren(button);
}

const filter = document.createElement('input');
filter.type = 'search';
filter.className = 'filter';
filter.placeholder = 'Filter: part of a name, or a state';
filter.setAttribute('aria-label', 'Filter the runs by name or state');
filter.addEventListener('input', () => {
  const words = filter.value.toLowerCase();
  for (const row of body.rows) {
    const text = row.cells[0].textContent + ' ' + row.cells[1].textContent;
    row.hidden = !text.toLowerCase().includes(words);
  }
});
table.parentElement.before(filter);

addEventListener('beforeprint', () => {
  for (const folded of document.querySelectorAll(
    '.failure details, .missing')) {
    folded.open = true;
  }
});
