import { existsSync, readFileSync } from 'node:fs';
import { LIBC, LIBRARY_FILES, type Pointer } from './library.ts';

const PAGE = 4096;
// Advice of madvise (linux/mman.h).
const MADV_DONTNEED = 4;
const MADV_HUGEPAGE = 14;
const MADV_POPULATE_WRITE = 23;
const madvise = LIBC.func('madvise', 'int', ['uintptr_t', 'size_t', 'int']);

/**
 * Asks for large pages (2 MiB) for memory that has not been touched yet: a page fault costs up to 16 µs on a virtual
 * machine, and a 3B model has 1.5 million pages of 4 KiB. A kernel without large pages does nothing.
 */
export function adviseLargePages(address: Pointer, byteLength: number): void {
  const [begin, length] = wholePages(address, byteLength);
  if (length > 0) madvise(begin, length, MADV_HUGEPAGE);
}

/* The pages that lie in memory as a whole: where they begin, and their bytes. */
function wholePages(address: Pointer, byteLength: number): [begin: Pointer, length: number] {
  const begin = Math.ceil(address / PAGE) * PAGE;
  const end = Math.floor((address + byteLength) / PAGE) * PAGE;
  return [begin, end - begin];
}

/* koffi allows 256 calls in the background until the event loop runs again. */
const MOST_AHEAD = 192;
let ahead = 0;

/**
 * Has the kernel make the pages of memory in the background, while others of them are written here: it is what most of the
 * time of loading weights goes to. Values stay as they are. A kernel before 5.14 does nothing.
 */
export function populateAhead(address: Pointer, byteLength: number): void {
  const [begin, length] = wholePages(address, byteLength);
  if (length <= 0 || ahead >= MOST_AHEAD) return;
  ahead++;
  madvise.async(begin, length, MADV_POPULATE_WRITE, () => {
    ahead--;
  });
}

const AREAS = '/proc/self/smaps';

/**
 * Gives pages of TensorFlow's libraries back that nothing has written to: loading touches most of them once (to register ops
 * and kernels), which are 245 MiB of resident memory. What is used later comes back from the kernel's file cache.
 */
export function releaseLibraryPages(): void {
  if (!existsSync(AREAS)) return;
  for (const area of readFileSync(AREAS, 'utf8').split(/\n(?=[0-9a-f]+-[0-9a-f]+ )/)) {
    const [first = ''] = area.split('\n', 1);
    const [, begin, end] = /^([0-9a-f]+)-([0-9a-f]+) r-/.exec(first) ?? [];
    const isLibrary = LIBRARY_FILES.some((file) => first.endsWith(`/${file}`));
    if (begin === undefined || end === undefined || !isLibrary) continue;
    if (!/^Private_Dirty: +0 kB$/m.test(area)) continue;
    const [from, to] = [parseInt(begin, 16), parseInt(end, 16)];
    madvise(from, to - from, MADV_DONTNEED);
  }
}
