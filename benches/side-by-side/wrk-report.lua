-- One line that the bench parses. No request or response hook: those would slow wrk down.
done = function(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '\nwrk-report {"requests": %d, "bytes": %d, "duration_us": %d, "p50_us": %d, "p99_us": %d, "errors": {"connect": %d, "read": %d, "write": %d, "timeout": %d, "status": %d}}\n',
    summary.requests, summary.bytes, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end
