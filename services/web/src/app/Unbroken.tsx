import { Button, Code } from "@mantine/core";
import { Bug } from "lucide-react";
import { Component, type ReactNode } from "react";
import { EmptyState } from "@/ui/EmptyState";

interface Props {
  /** Another one begins anew: an address, so that leaving a broken screen mends it. */
  at: string;
  children: ReactNode;
}

/** Draws its children, or says that they could not be drawn. */
export class Unbroken extends Component<Props, { error: unknown }> {
  override state = { error: null as unknown };

  static getDerivedStateFromError(error: unknown) {
    return { error };
  }

  override componentDidUpdate(before: Props) {
    if (before.at !== this.props.at && this.state.error) this.setState({ error: null });
  }

  override render() {
    const { error } = this.state;
    if (!error) return this.props.children;
    return (
      <EmptyState
        icon={Bug}
        title="This screen could not be drawn"
        action={<Button onClick={() => window.location.reload()}>Load it anew</Button>}
      >
        Nothing that runs on the server is touched by this.{" "}
        <Code>{error instanceof Error ? error.message : String(error)}</Code>
      </EmptyState>
    );
  }
}
