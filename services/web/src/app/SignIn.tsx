import { Button, Center, Code, Paper, PasswordInput, Stack, Text, Title } from "@mantine/core";
import { type FormEvent, useState } from "react";
import { useSession } from "@/state/session";
import { ErrorNotice } from "@/ui/ErrorNotice";
import { Logo } from "@/ui/Logo";

/** Asks for an access token. */
export default function SignIn() {
  const { signIn, error } = useSession();
  const [token, setToken] = useState("");
  const [busy, setBusy] = useState(false);

  async function submit(event: FormEvent) {
    event.preventDefault();
    setBusy(true);
    // What went wrong is in the session, and is shown from there.
    await signIn(token.trim()).catch(() => setBusy(false));
  }

  return (
    <Center component="main" mih="100vh" p="md">
      <Paper w={440} p="xl" radius="lg" shadow="sm">
        <form onSubmit={submit}>
          <Stack gap="lg">
            <Logo size={40} />
            <div>
              <Title order={1} size="h2">
                Sign in to miStudio
              </Title>
              <Text c="dimmed" mt={4}>
                Load language models and look at their insides.
              </Text>
            </div>
            {error && <ErrorNotice error={error} />}
            <PasswordInput
              label="Access token"
              description={
                <>
                  <Code>mistudio up</Code> prints an address that signs you in;{" "}
                  <Code>mistudio token</Code> makes a token.
                </>
              }
              autoComplete="current-password"
              autoFocus
              required
              value={token}
              onChange={(event) => setToken(event.currentTarget.value)}
            />
            <Button type="submit" loading={busy} disabled={!token.trim()} fullWidth>
              Sign in
            </Button>
            <Text size="sm" c="dimmed">
              Tokens are JSON Web Tokens with the scopes <b>model:read</b> and, to change anything,{" "}
              <b>model:write</b>.
            </Text>
          </Stack>
        </form>
      </Paper>
    </Center>
  );
}
