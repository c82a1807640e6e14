// Errors of the system in words that say what to do.

const reasons: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full (ENOSPC). Free some space.',
  EDQUOT: 'the disk quota is used up (EDQUOT). Free some space.',
  EFBIG: 'the file would be larger than allowed (EFBIG). Raise the limit (ulimit -f).',
  EACCES: 'no permission (EACCES). Choose a folder that you may write.',
  EPERM: 'no permission (EPERM). Choose a folder that you may write.',
  EROFS: 'the file system is read-only (EROFS). Choose another folder.',
  ENOENT: 'a folder is missing (ENOENT). Was it deleted?',
  ENOTDIR: 'a part of the path is a file (ENOTDIR). Choose another folder.',
  EEXIST: 'a file of that name is in the way (EEXIST). Choose another folder.',
  EISDIR: 'it is a folder (EISDIR). Give the name of a file.',
  ENAMETOOLONG: 'the name is too long (ENAMETOOLONG). Choose a shorter one.',
  ELOOP: 'its symbolic links go round in a circle (ELOOP). Choose another path.',
  EMFILE: 'this process has too many files open (EMFILE). Raise the limit (ulimit -n).',
  ENFILE: 'this machine has too many files open (ENFILE). Close some programs.',
  EIO: 'the disk or terminal failed (EIO). Choose another place.',
  EBADF: 'it is not open for writing (EBADF). Open it for writing.',
  EPIPE: 'nobody reads it any more (EPIPE).',
};

/** An error of the system in words; the error's own message if there are none for it. */
export function systemReason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code, message } = error as NodeJS.ErrnoException;
  return (code === undefined ? undefined : reasons[code]) ?? message;
}
