/** What `info` tells of a qcow2 image. */
import type { FormatInfo, InfoValue } from '../format.js';
import { readDirectory } from './bitmaps.js';
import { Autoclear, Compatible, CRYPT_NONE, Incompatible } from './header.js';
import type { Qcow2Node } from './node.js';

const IN_USE = 1;
const AUTO = 2;

export async function qcow2Info(node: Qcow2Node): Promise<FormatInfo> {
  const { image } = node;
  const { header } = image;
  const data: Record<string, InfoValue> = { compat: header.version < 3 ? '0.10' : '1.1' };
  data['compression-type'] = header.compression;
  if (header.version >= 3) {
    data['lazy-refcounts'] = (header.compatible & Compatible.LAZY_REFCOUNTS) !== 0;
    if (header.bitmaps) {
      data['bitmaps'] = (await readDirectory(image)).map((b) => ({
        flags: [...(b.flags & IN_USE ? ['in-use'] : []), ...(b.flags & AUTO ? ['auto'] : [])],
        name: b.name,
        granularity: 2 ** b.granularityBits,
      }));
    }
  }
  data['refcount-bits'] = 1 << header.refcountOrder;
  if (node.cipher) data['encrypt'] = node.cipher.info();
  if (header.version >= 3) {
    if (image.external) {
      data['data-file'] = image.data.filename;
      data['data-file-raw'] = (header.autoclear & Autoclear.RAW_EXTERNAL_DATA) !== 0;
    }
    data['corrupt'] = (header.incompatible & Incompatible.CORRUPT) !== 0;
    data['extended-l2'] = image.extended;
  }
  return {
    clusterSize: image.clusterSize,
    dirty: (header.incompatible & Incompatible.DIRTY) !== 0,
    encrypted: header.cryptMethod !== CRYPT_NONE,
    specific: { type: 'qcow2', data },
  };
}
