/** What went wrong in the host's words: "No such file or directory". */
const TEXT: { readonly [code: string]: string } = {
  ENOENT: 'No such file or directory',
  EACCES: 'Permission denied',
  EPERM: 'Operation not permitted',
  EISDIR: 'Is a directory',
  ENOTDIR: 'Not a directory',
  EROFS: 'Read-only file system',
  ENOSPC: 'No space left on device',
  EADDRINUSE: 'Address already in use',
  EADDRNOTAVAIL: 'Cannot assign requested address',
  ECONNREFUSED: 'Connection refused',
  ENOTFOUND: 'Name or service not known',
};

export function hostReason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return TEXT[code ?? ''] ?? message;
}
