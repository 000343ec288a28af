import { lazy, Suspense, useEffect } from "react";
import { BrowserRouter, Navigate, Route, Routes } from "react-router";
// The screen that one begins with, so it comes with the rest and not after it.
import Models from "@/features/models/ModelsPanel";
import { LiveConnection } from "@/live/connection";
import { forgetAll } from "@/state/entities";
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
  const { status, token } = useSession();
  // While it is still asked whether the token is good: the connection is told so just as well.
  const heard = status === "signed-out" ? null : token;
  useEffect(() => {
    if (!heard) return;
    const connection = new LiveConnection(heard);
    return () => {
      connection.close();
      forgetAll();
    };
  }, [heard]);
  if (status === "unknown") return <PageSkeleton />;
  if (status === "signed-out") {
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
