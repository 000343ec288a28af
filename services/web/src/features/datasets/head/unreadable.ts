/** A file is not what its format says; the message says where, and how to mend it. */
export class Unreadable extends Error {
  override name = "Unreadable";
}
