-- Health of a Recommender for Argo CD, from its conditions alone.
--   Healthy      it answers as its spec asks
--   Progressing  a generation rolls out, or the first model is awaited
--   Degraded     it does not answer, or its owner must act (what served may go on serving beside that)
--   Suspended    it answers, and starts no more runs because its spec says so
local status = obj.status or {}
local seen = status.observedGeneration
if seen == nil or seen ~= obj.metadata.generation then
  return {status = "Progressing", message = "the operator has not seen this generation"}
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local function holds(name)
  return conditions[name] ~= nil and conditions[name].status == "True"
end
local function because(name)
  local condition = conditions[name]
  if condition == nil then
    return name .. " is not known yet"
  end
  return (condition.reason or name) .. ": " .. (condition.message or "")
end

if holds("Stalled") then
  return {status = "Degraded", message = because("Stalled")}
end
if holds("Reconciling") then
  return {status = "Progressing", message = because("Reconciling")}
end
if not holds("Ready") then
  local ready = conditions["Ready"]
  if ready == nil or ready.status == "Unknown" or (ready.reason == "AwaitingFirstModel" and (status.failures or 0) == 0) then
    return {status = "Progressing", message = because("Ready")}
  end
  return {status = "Degraded", message = because("Ready")}
end
if holds("Suspended") then
  return {status = "Suspended", message = because("Suspended")}
end
return {status = "Healthy", message = because("Ready")}
