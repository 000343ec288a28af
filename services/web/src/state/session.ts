/** Who is signed in. The token stays in this browser until its reader signs out. */
import { create } from "zustand";
import { claimsOf } from "@/api/claims";
import { api, sendToken, unwrap, whenUnauthorized } from "@/api/client";
import { type ApiError, asApiError } from "@/api/errors";
import type { Scope, WhoAmI } from "@/api/types";

const KEPT = "mistudio.token";

interface Session {
  /** `unknown` until it is known whether the kept token is good. */
  status: "unknown" | "signed-out" | "signed-in";
  /** Not yet known to be good while the status is not. */
  token: string | null;
  /** As the gateway says; until it has, as the token does. */
  who: Pick<WhoAmI, "subject" | "scopes"> | null;
  error: ApiError | null;
  signIn: (token: string) => Promise<void>;
  signOut: (reason?: ApiError) => void;
}

export const useSession = create<Session>((set, get) => ({
  status: "unknown",
  token: null,
  who: null,
  error: null,
  signIn: async (token) => {
    sendToken(token);
    try {
      const who = await unwrap(api.GET("/api/session"));
      localStorage.setItem(KEPT, token);
      set({ status: "signed-in", token, who, error: null });
    } catch (thrown) {
      const error = asApiError(thrown);
      // A gateway that is away says nothing about the token.
      if (error.status === 401 || error.status === 403) get().signOut(error);
      else set({ status: "signed-out", error });
      throw error;
    }
  },
  signOut: (reason) => {
    sendToken(null);
    localStorage.removeItem(KEPT);
    set({ status: "signed-out", token: null, who: null, error: reason ?? null });
  },
}));

/** Sign in with the token of the address (`#token=…`, removed from it at once) or the kept one. */
export async function resume(): Promise<void> {
  const fragment = new URLSearchParams(window.location.hash.slice(1));
  const given = fragment.get("token");
  if (given) {
    const { pathname, search } = window.location;
    window.history.replaceState(window.history.state, "", pathname + search);
  }
  const token = given ?? localStorage.getItem(KEPT);
  if (!token) {
    useSession.setState({ status: "signed-out" });
    return;
  }
  sendToken(token);
  useSession.setState({ token, who: claimsOf(token) });
  // What went wrong stands on the page of signing in.
  await useSession
    .getState()
    .signIn(token)
    .catch(() => undefined);
}

whenUnauthorized(() => {
  const { status, signOut } = useSession.getState();
  if (status === "signed-in") signOut();
});

/** Whether who is signed in may do what the scope allows. */
export function useMay(scope: Scope): boolean {
  return useSession((session) => session.who?.scopes.includes(scope) ?? false);
}
