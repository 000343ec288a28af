import { lazy, Suspense } from "react";
import { BrowserRouter, Navigate, Route, Routes } from "react-router";
// The screen that one begins with, so it comes with the rest and not after it.
import Models from "@/features/models/ModelsPanel";
import { useSession } from "@/state/session";
import { PageSkeleton } from "@/ui/PageSkeleton";
import { Shell } from "./Shell";

const SignIn = lazy(() => import("./SignIn"));
const ModelDetails = lazy(() => import("@/features/details/ModelDetails"));
const Datasets = lazy(() => import("@/features/datasets/DatasetsPanel"));
const DatasetDetails = lazy(() => import("@/features/datasets/DatasetDetails"));
const Activations = lazy(() => import("@/features/activations/ActivationsPanel"));
const ActivationView = lazy(() => import("@/features/activations/ActivationView"));
const Device = lazy(() => import("@/features/device/DevicePanel"));
const Activity = lazy(() => import("@/features/activity/ActivityPanel"));

/** Signing in, or the screens with what is live behind them. */
export function App() {
  // A kept token is most often good: its reader need not wait to be told so.
  const where = useSession(({ status, token }) =>
    status === "unknown" && !token ? "unknown" : status === "signed-out" ? "out" : "in",
  );
  if (where === "unknown") return <PageSkeleton />;
  if (where === "out") {
    return (
      <Suspense fallback={<PageSkeleton />}>
        <SignIn />
      </Suspense>
    );
  }
  return (
    <BrowserRouter>
      <Routes>
        <Route element={<Shell />}>
          <Route index element={<Navigate to="/models" replace />} />
          <Route path="models" element={<Models />}>
            <Route path=":modelId/*" element={<ModelDetails />} />
          </Route>
          <Route path="datasets" element={<Datasets />} />
          <Route path="datasets/:datasetId" element={<DatasetDetails />} />
          <Route path="activations" element={<Activations />} />
          <Route path="activations/:cacheId/*" element={<ActivationView />} />
          <Route path="device" element={<Device />} />
          <Route path="activity" element={<Activity />} />
          <Route path="*" element={<Navigate to="/models" replace />} />
        </Route>
      </Routes>
    </BrowserRouter>
  );
}
