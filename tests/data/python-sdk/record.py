"""Records the trace headers of the Python SDK in its streaming mode, for the test that continues them.

    pip install sentry-sdk==2.75.0
    python record.py sent > sent.json
    python record.py understood < ours.json > understood.json

`sent` writes what the SDK sends from inside of a span, with what it knows of the trace. `understood` reads headers and writes
what the SDK makes of them when it continues the trace. Nothing goes over the network.
"""

import json
import sys

import sentry_sdk
from sentry_sdk import traces
from sentry_sdk.transport import Transport

DSN = "https://0123456789abcdef0123456789abcdef@o123.ingest.example/42"
INCOMING = {
    "sentry-trace": "771a43a4192642f0b136d5159a501700-b7ad6b7169203331-1",
    "baggage": "other=1,sentry-trace_id=771a43a4192642f0b136d5159a501700,"
    "sentry-public_key=0123456789abcdef0123456789abcdef,sentry-sample_rate=0.25,"
    "sentry-sample_rand=0.125000,sentry-sampled=true,sentry-release=shop%401,sentry-unknown=x%20y",
}


class Nowhere(Transport):
    def capture_envelope(self, envelope):
        pass


def init(**options):
    sentry_sdk.init(
        dsn=DSN, transport=Nowhere, trace_lifecycle="stream", default_integrations=False, **options
    )


def describe(span):
    context = span._segment._get_baggage().dynamic_sampling_context()
    return {
        "headers": dict(sentry_sdk.get_current_scope().iter_trace_propagation_headers()),
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "sampled": span.sampled,
        "dsc": {key: str(value) for key, value in context.items()},
    }


def record(name, options, span_name="GET /orders", attributes=None, incoming=None, wanted=None):
    # A head draws its number, so that a rate of a quarter gives either decision soon. A trace that is continued without one gets the
    # number that its id gives, the same each time: there `wanted` would wait for ever.
    for _ in range(200):
        init(**options)
        with sentry_sdk.isolation_scope():
            if incoming is None:
                traces.new_trace()
            else:
                traces.continue_trace(incoming)
            with traces.start_span(name=span_name, attributes=attributes) as span:
                case = {"name": name, "incoming": incoming, **describe(span)}
        if wanted is None or case["sampled"] == wanted:
            return case
    raise RuntimeError(f"{name}: the decision {wanted} did not come about")


def sent():
    release = {"release": "shop@1.4", "environment": "staging"}
    odd = {"release": "a b,c%d=e;f/é", "environment": "ümlaut; x"}
    quarter = {"traces_sample_rate": 0.25, **release}
    deferred = {"sentry-trace": "771a43a4192642f0b136d5159a501700-b7ad6b7169203331"}
    return [
        record("head, sampled", {"traces_sample_rate": 1.0, **release}),
        record("head, unsampled", {"traces_sample_rate": 0.0, **release}),
        record("a quarter, sampled", quarter, wanted=True),
        record("a quarter, unsampled", quarter, wanted=False),
        record("odd characters", {"traces_sample_rate": 1.0, **odd}, span_name="é = ;,% /\"'"),
        record("name from a URL", quarter, attributes={"sentry.segment.name.source": "url"}),
        record("continued", {"traces_sample_rate": 0.0, **release}, incoming=INCOMING),
        record("sampler", {"traces_sampler": lambda _: 0.5, **release}, incoming=INCOMING),
        record("continued, deferred", quarter, incoming=deferred),
    ]


def understood():
    cases = []
    for case in json.load(sys.stdin)["cases"]:
        init(traces_sample_rate=1.0)
        with sentry_sdk.isolation_scope():
            traces.continue_trace(case["headers"])
            context = sentry_sdk.get_current_scope().get_active_propagation_context()
            parent = {"parent_span_id": context.parent_span_id, "parent_sampled": context.parent_sampled}
            with traces.start_span(name="continued") as span:
                described = describe(span)
                described.pop("headers")
                described.pop("span_id")
        cases.append({**case, "understood": {**parent, **described}})
    return cases


if __name__ == "__main__":
    cases = {"sent": sent, "understood": understood}[sys.argv[1]]()
    recording = {"sdk": "sentry-sdk (Python)", "version": sentry_sdk.VERSION, "cases": cases}
    json.dump(recording, sys.stdout, indent=2, sort_keys=True)
    print()
