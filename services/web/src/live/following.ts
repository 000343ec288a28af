/** Being connected for as long as somebody is signed in. */
import { forgetAll } from "@/state/entities";
import { useSession } from "@/state/session";
import { LiveConnection } from "./connection";

/** Connect whoever has a token, from now on; return how to end it. */
export function followSession(): () => void {
  let heard: string | null = null;
  let connection: LiveConnection | null = null;

  function connect(token: string | null): void {
    if (token === heard) return;
    heard = token;
    if (connection) {
      connection.close();
      forgetAll();
    }
    connection = token === null ? null : new LiveConnection(token);
  }

  // While it is still asked whether the token is good, the connection is told so just as well.
  const unsubscribe = useSession.subscribe(({ status, token }) =>
    connect(status === "signed-out" ? null : token),
  );
  return () => {
    unsubscribe();
    connect(null);
  };
}
