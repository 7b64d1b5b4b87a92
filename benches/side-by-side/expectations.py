"""What a case of envoy-check demands, and how one exchange differs from it. Pure.

A case is a JSON object:
  name       shown in the output
  method     default GET
  path       default /
  headers    list of [name, value], sent in this order; a name may repeat
  status     the status that the client must get
  response   optional {"has": {name: value}, "lacks": [name]}; a value of null means any value
  origin     null: the origin must see no request. Otherwise what it must see, exactly once:
             {"path": exact path and query, "has": {...}, "lacks": [...], "never": [text]}; "never" is text that may be
             nowhere in the head, neither in the path nor in a header's name or value
"""

CASE_FIELDS = {"name", "method", "path", "headers", "status", "response", "origin"}
RESPONSE_FIELDS = {"has", "lacks"}
ORIGIN_FIELDS = {"path", "has", "lacks", "never"}


def malformed(case):
    """None, or why the case itself is no good: a misspelt field would demand nothing and pass."""
    for required in ("name", "status", "origin"):
        if required not in case:
            return f"case {case.get('name', case)}: field `{required}` is missing"
    for part, fields in ((case, CASE_FIELDS), (case.get("response") or {}, RESPONSE_FIELDS), (case["origin"] or {}, ORIGIN_FIELDS)):
        unknown = set(part) - fields
        if unknown:
            return f"case {case['name']}: unknown field {sorted(unknown)}; there are {sorted(fields)}"
    return None


def differences(case, status, response_headers, received):
    """Texts that say how the exchange differs from the case; empty when it is as demanded.

    `response_headers` is a list of pairs, `received` the heads that the origin saw, as EchoOrigin gives them.
    """
    found = []
    if status != case["status"]:
        found.append(f"status {status} instead of {case['status']}")
    found += _header_differences("response", case.get("response") or {}, response_headers)
    wanted = case["origin"]
    if wanted is None:
        found += [f"the origin saw {head['method']} {head['path']}, it should have seen nothing" for head in received]
    elif len(received) != 1:
        found.append(f"the origin saw {len(received)} requests instead of 1")
    else:
        found += _origin_differences(wanted, received[0])
    return found


def _origin_differences(wanted, head):
    found = _header_differences("origin", wanted, head["headers"])
    if "path" in wanted and head["path"] != wanted["path"]:
        found.append(f"origin: path {head['path']!r} instead of {wanted['path']!r}")
    whole = "\n".join([head["path"], *(f"{name}: {value}" for name, value in head["headers"])])
    found += [f"origin: {text!r} is still in the head:\n{whole}" for text in wanted.get("never", []) if text in whole]
    return found


def _header_differences(where, wanted, headers):
    found = []
    for name, value in wanted.get("has", {}).items():
        values = [v for n, v in headers if n.lower() == name.lower()]
        if not values or (value is not None and values != [value]):
            found.append(f"{where}: header {name} is {values} instead of {[value] if value is not None else 'there'}")
    for name in wanted.get("lacks", []):
        values = [v for n, v in headers if n.lower() == name.lower()]
        if values:
            found.append(f"{where}: header {name} is there: {values}")
    return found
