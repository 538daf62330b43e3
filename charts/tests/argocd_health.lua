-- Statuses as the operator writes them, with the expected health in Argo CD: lua argocd_health.lua HEALTH
local source = assert(io.open(arg[1])):read("a")

local function condition(kind, status, reason, message)
  return {type = kind, status = status, reason = reason, message = message or "m", observedGeneration = 2}
end
local ready = condition("Ready", "True", "Serving", "2 of 2 pods serve the model")
local cases = {
  {"not observed", "Progressing", {observedGeneration = -1}},
  {"no status at all", "Progressing", nil},
  {"an older generation was observed", "Progressing", {observedGeneration = 1, conditions = {ready}}},
  {"ready", "Healthy", {observedGeneration = 2, conditions = {ready}}, "Serving: 2 of 2 pods serve the model"},
  {"scaled to zero", "Healthy", {observedGeneration = 2, conditions = {condition("Ready", "True", "ScaledToZero")}}},
  {"ready, with a scheduled run in progress", "Healthy",
    {observedGeneration = 2, conditions = {ready, condition("Trained", "False", "TrainingRunning")}}},
  {"ready with the last good model: the newest one failed the gate", "Healthy",
    {observedGeneration = 2, conditions = {ready, condition("QualityGatePassed", "False", "GateFailed")}}},
  {"no model yet, training", "Progressing",
    {observedGeneration = 2, conditions = {condition("Ready", "False", "TrainingRunning"), condition("Reconciling", "True", "NewGeneration", "training")}},
    "NewGeneration: training"},
  {"no model yet, between two steps", "Progressing",
    {observedGeneration = 2, conditions = {condition("Ready", "False", "TrainingPending")}}},
  {"the first model waits for its catalogue", "Progressing",
    {observedGeneration = 2, conditions = {condition("Ready", "False", "AwaitingCatalogue")}}},
  {"the item table of the first model is held", "Degraded",
    {observedGeneration = 2, conditions = {condition("Ready", "False", "AwaitingCatalogue"), condition("CatalogueHeld", "True", "CatalogueShrunk")}}},
  {"the first run failed", "Degraded",
    {observedGeneration = 2, failures = 1, conditions = {condition("Ready", "False", "OOMKilled", "out of memory")}},
    "OOMKilled: out of memory"},
  {"rolls out a new pod template", "Progressing",
    {observedGeneration = 2, conditions = {ready, condition("Reconciling", "True", "RollingOut")}}},
  {"no pod is ready", "Degraded",
    {observedGeneration = 2, conditions = {condition("Ready", "False", "ReplicasUnavailable", "0 of 2 pods are ready")}}},
  {"its owner must act while the old model serves", "Degraded",
    {observedGeneration = 2, conditions = {ready, condition("Stalled", "True", "ReferenceNotFound", "Secret a")}},
    "ReferenceNotFound: Secret a"},
  {"stalled takes precedence over rolling out", "Degraded",
    {observedGeneration = 2, conditions = {condition("Reconciling", "True", "NewGeneration"), condition("Stalled", "True", "InvalidSpec")}}},
  {"suspended", "Suspended",
    {observedGeneration = 2, conditions = {ready, condition("Suspended", "True", "SuspendedByUser")}}},
  {"suspended without a model", "Suspended",
    {observedGeneration = 2, conditions = {condition("Ready", "False", "SuspendedByUser"), condition("Suspended", "True", "SuspendedByUser")}}},
}
local failed = 0
for _, case in ipairs(cases) do
  local name, expected, status, message = table.unpack(case, 1, 4)
  -- Argo CD runs the script with the object and a few safe libraries.
  local environment = {obj = {metadata = {generation = 2}, status = status}, ipairs = ipairs, pairs = pairs, string = string, table = table}
  local health = assert(load(source, "health.lua", "t", environment))()
  if health.status ~= expected or (message and health.message ~= message) then
    failed = failed + 1
    print(name .. ": expected " .. expected .. ", found " .. tostring(health.status) .. " (" .. tostring(health.message) .. ")")
  end
end
os.exit(failed == 0)
