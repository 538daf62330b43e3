-- Requests of a load test by wrk: the lines of the file BODIES in turn, each as the body of a POST.
-- Prints the figures as one line of JSON.

local requests = {}
local next_request = 0

function init(_)
  for body in io.lines(os.getenv("BODIES")) do
    requests[#requests + 1] = wrk.format("POST", "/recommend", { ["content-type"] = "application/json" }, body)
  end
end

function request()
  next_request = next_request % #requests + 1
  return requests[next_request]
end

function done(summary, latency, _)
  local errors = summary.errors
  local failed = errors.status + errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format('{"answers": %d, "failed": %d, "seconds": %f, "p50_us": %f, "p99_us": %f}\n', summary.requests,
    failed, summary.duration / 1e6, latency:percentile(50), latency:percentile(99)))
end
