-- Statuses as the operator writes them, and what Argo CD should make of them: lua stories.lua HEALTH
local source = assert(io.open(arg[1])):read("a")

local function condition(kind, status, reason, message)
  return {type = kind, status = status, reason = reason, message = message or "m", observedGeneration = 2}
end
local ready = condition("Ready", "True", "Serving", "2 of 2 pods answer")
local stories = {
  {"never seen", "Progressing", {observedGeneration = -1}},
  {"no status at all", "Progressing", nil},
  {"an older generation was seen", "Progressing", {observedGeneration = 1, conditions = {ready}}},
  {"answers", "Healthy", {observedGeneration = 2, conditions = {ready}}, "Serving: 2 of 2 pods answer"},
  {"scaled to nothing", "Healthy", {observedGeneration = 2, conditions = {condition("Ready", "True", "ScaledToZero")}}},
  {"answers, and its nightly run is under way", "Healthy",
    {observedGeneration = 2, conditions = {ready, condition("Trained", "False", "TrainingRunning")}}},
  {"answers with the last good one: the newest failed the gate", "Healthy",
    {observedGeneration = 2, conditions = {ready, condition("QualityGatePassed", "False", "GateFailed")}}},
  {"awaits its first model", "Progressing",
    {observedGeneration = 2, conditions = {condition("Ready", "False", "AwaitingFirstModel"), condition("Reconciling", "True", "NewGeneration", "trains")}},
    "NewGeneration: trains"},
  {"awaits its first model, between two things", "Progressing",
    {observedGeneration = 2, conditions = {condition("Ready", "False", "AwaitingFirstModel")}}},
  {"its first run failed", "Degraded",
    {observedGeneration = 2, failures = 1, conditions = {condition("Ready", "False", "AwaitingFirstModel", "out of memory")}},
    "AwaitingFirstModel: out of memory"},
  {"rolls a new template out", "Progressing",
    {observedGeneration = 2, conditions = {ready, condition("Reconciling", "True", "RollingOut")}}},
  {"pods are gone", "Degraded",
    {observedGeneration = 2, conditions = {condition("Ready", "False", "ReplicasUnavailable", "0 of 2 pods are ready")}}},
  {"its owner must act while the old model serves", "Degraded",
    {observedGeneration = 2, conditions = {ready, condition("Stalled", "True", "ReferenceNotFound", "Secret a")}},
    "ReferenceNotFound: Secret a"},
  {"stalled goes before rolling out", "Degraded",
    {observedGeneration = 2, conditions = {condition("Reconciling", "True", "NewGeneration"), condition("Stalled", "True", "InvalidSpec")}}},
  {"suspended", "Suspended",
    {observedGeneration = 2, conditions = {ready, condition("Suspended", "True", "SuspendedByUser")}}},
  {"suspended without a model", "Progressing",
    {observedGeneration = 2, conditions = {condition("Ready", "False", "AwaitingFirstModel"), condition("Suspended", "True", "SuspendedByUser")}}},
}
local failed = 0
for _, story in ipairs(stories) do
  local name, expected, status, message = table.unpack(story, 1, 4)
  -- Argo CD gives the script the object, and a few safe libraries.
  local world = {obj = {metadata = {generation = 2}, status = status}, ipairs = ipairs, pairs = pairs, string = string, table = table}
  local health = assert(load(source, "health.lua", "t", world))()
  if health.status ~= expected or (message and health.message ~= message) then
    failed = failed + 1
    print(name .. ": expected " .. expected .. ", found " .. tostring(health.status) .. " (" .. tostring(health.message) .. ")")
  end
end
os.exit(failed == 0)
