-- Health of a Recommender for Argo CD, derived from its conditions.
--   Healthy      it is ready
--   Progressing  a generation is being rolled out, or there is no model yet
--   Degraded     it is not ready, or its owner must act (the current revision may still serve)
--   Suspended    its spec suspends training runs, and it is ready or has no model yet
local status = obj.status or {}
local observed = status.observedGeneration
if observed == nil or observed ~= obj.metadata.generation then
  return {status = "Progressing", message = "the operator has not observed this generation"}
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local function is_true(name)
  return conditions[name] ~= nil and conditions[name].status == "True"
end
local function describe(name)
  local condition = conditions[name]
  if condition == nil then
    return name .. " is not set yet"
  end
  return (condition.reason or name) .. ": " .. (condition.message or "")
end

if is_true("Stalled") then
  return {status = "Degraded", message = describe("Stalled")}
end
if is_true("Reconciling") then
  return {status = "Progressing", message = describe("Reconciling")}
end
-- Reasons of Ready while the first model is on its way.
local expected = {TrainingPending = true, TrainingRunning = true, TrainingQueued = true, NoModel = true, Loading = true}
expected.AwaitingCatalogue = not is_true("CatalogueHeld")
if not is_true("Ready") then
  local ready = conditions["Ready"]
  if ready ~= nil and ready.reason == "SuspendedByUser" then
    return {status = "Suspended", message = describe("Ready")}
  end
  if ready == nil or ready.status == "Unknown" or expected[ready.reason] then
    return {status = "Progressing", message = describe("Ready")}
  end
  return {status = "Degraded", message = describe("Ready")}
end
if is_true("Suspended") then
  return {status = "Suspended", message = describe("Suspended")}
end
return {status = "Healthy", message = describe("Ready")}
