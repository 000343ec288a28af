// The layers of the web UI, each rule a sentence.
module.exports = {
  forbidden: [
    {
      name: "features-never-import-each-other",
      severity: "error",
      from: { path: "^src/features/([^/]+)/" },
      to: { path: "^src/features/([^/]+)/", pathNot: "^src/features/$1/" },
    },
    {
      name: "nothing-below-imports-a-feature",
      severity: "error",
      from: { path: "^src/(api|live|state|ui)/" },
      to: { path: "^src/(features|app)/" },
    },
    {
      name: "features-do-not-import-the-app",
      severity: "error",
      from: { path: "^src/features/" },
      to: { path: "^src/app/" },
    },
    {
      name: "the-api-imports-nothing-above-it",
      severity: "error",
      from: { path: "^src/api/" },
      to: { path: "^src/(live|state|ui)/" },
    },
    {
      name: "shared-components-do-not-know-the-state",
      severity: "error",
      from: { path: "^src/ui/" },
      to: { path: "^src/(live|state)/" },
    },
    { name: "no-circles", severity: "error", from: {}, to: { circular: true } },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    exclude: { path: "\\.test\\.tsx?$" },
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
  },
};
