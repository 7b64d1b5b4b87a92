"""Each demand of a case must be able to fail."""

import unittest

from expectations import differences, malformed

HEAD = {"method": "GET", "path": "/a?b=1", "headers": [("x-consumer", "alice"), ("host", "h")], "body_bytes": 0}
RESPONSE = [("Content-Length", "0"), ("www-authenticate", "ApiKey")]


def found(received=(HEAD,), status=200, **case):
    return differences({"name": "n", "status": 200, "origin": {}, **case}, status, RESPONSE, list(received))


class Differences(unittest.TestCase):
    def test_an_exchange_as_demanded_differs_in_nothing(self):
        case = {
            "response": {"has": {"WWW-Authenticate": None, "content-length": "0"}, "lacks": ["x-filter"]},
            "origin": {"path": "/a?b=1", "has": {"x-consumer": "alice"}, "lacks": ["x-api-key"], "never": ["secret"]},
        }
        self.assertEqual(found(**case), [])
        self.assertEqual(found(received=(), origin=None), [])

    def test_every_demand_can_fail(self):
        for case in [
            {"status": 401},
            {"response": {"has": {"x-filter": None}}},
            {"response": {"has": {"content-length": "1"}}},
            {"response": {"lacks": ["content-length"]}},
            {"origin": None},
            {"received": ()},
            {"received": (HEAD, HEAD)},
            {"origin": {"path": "/a"}},
            {"origin": {"has": {"x-consumer": "bob"}}},
            {"origin": {"lacks": ["X-Consumer"]}},
            {"origin": {"never": ["b=1"]}},
            {"origin": {"never": ["alice"]}},
        ]:
            self.assertEqual(len(found(**case)), 1, case)

    def test_a_repeated_header_is_not_the_single_one_demanded(self):
        head = {**HEAD, "headers": [("x-consumer", "alice"), ("x-consumer", "mallory")]}
        self.assertEqual(len(found(received=(head,), origin={"has": {"x-consumer": "alice"}})), 1)


class Malformed(unittest.TestCase):
    def test_a_misspelt_or_missing_field_is_refused(self):
        self.assertIsNone(malformed({"name": "n", "status": 200, "origin": {"path": "/"}, "response": {"has": {}}}))
        for case in [
            {"name": "n", "status": 200},
            {"name": "n", "status": 200, "origin": None, "header": []},
            {"name": "n", "status": 200, "origin": {"hass": {}}},
            {"name": "n", "status": 200, "origin": None, "response": {"lack": []}},
        ]:
            self.assertIsNotNone(malformed(case), case)


if __name__ == "__main__":
    unittest.main()
