/** Names of images: relative ones in an image are relative to its folder; a scheme in front names a protocol. */

/** The protocol of `nbd://host`, `nbd:host:port`, `json:{...}`; undefined for a file. */
export function schemeOf(filename: string): string | undefined {
  const m = /^([a-z][a-z0-9+.-]*):/i.exec(filename);
  // A slash before the colon makes it a path.
  return m?.[1]?.toLowerCase();
}

/** `name` as seen from the image `from`. */
export function relativeTo(from: string, name: string): string {
  if (name.startsWith('/') || schemeOf(name) !== undefined) return name;
  const base = from.startsWith('file:') ? from.slice('file:'.length) : from;
  const slash = base.lastIndexOf('/');
  return slash < 0 ? name : base.slice(0, slash + 1) + name;
}
