/** The first lines of a file that may be far larger than memory. */
import { Unreadable } from "./unreadable";

/** So much is read at first, and more only where no line has ended by then. */
const STEPS = [256 * 1024, 4 * 1024 * 1024, 17 * 1024 * 1024];
const BREAKS = /\r?\n/;

/** The text that a file begins with. */
export interface Beginning {
  text: string;
  /** Whether that is all of the file. */
  whole: boolean;
}

/**
 * Return the text that a file begins with, up to the end of a line.
 *
 * @param enough how many line breaks are enough
 * @throws Unreadable when it is not UTF-8
 */
export async function beginning(file: Blob, enough: number): Promise<Beginning> {
  let found: Beginning = { text: "", whole: false };
  for (const size of STEPS) {
    const whole = size >= file.size;
    const text = decode(await file.slice(0, size).arrayBuffer(), whole);
    found = { text: whole ? text : text.slice(0, text.lastIndexOf("\n") + 1), whole };
    if (whole || found.text.split(BREAKS, enough + 1).length > enough) break;
  }
  return found;
}

/** Return the lines that hold anything but white space, each with its number from 1. */
export function filledLines(text: string): { number: number; line: string }[] {
  return text
    .split(BREAKS)
    .map((line, index) => ({ number: index + 1, line }))
    .filter(({ line }) => line.trim());
}

function decode(bytes: ArrayBuffer, whole: boolean): string {
  try {
    // As a stream, the last character may be cut off.
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: !whole });
  } catch {
    throw new Unreadable("It is not UTF-8 text. Save the file as UTF-8.");
  }
}
