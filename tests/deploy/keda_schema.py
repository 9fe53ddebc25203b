"""The part of KEDA's custom resources that our manifests use, written from its documentation.

KEDA's own schema isn't among those of Kubernetes. Unknown keys are refused at each level, and
metadata are texts, as KEDA requires.
"""

from typing import Any

_NAME = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"}
_NUMBER = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"}
_WHOLE = {"type": "integer", "minimum": 0}


def _closed(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


_REDIS = _closed(
    {"listName": {"type": "string"}, "listLength": _NUMBER},
    {
        "address": {"type": "string", "pattern": "^[^:/]+:[0-9]+$"},
        "activationListLength": _NUMBER,
        "enableTLS": {"enum": ["true", "false"]},
        "databaseIndex": _NUMBER,
    },
)
_PROMETHEUS = _closed(
    {
        "serverAddress": {"type": "string", "pattern": "^https?://"},
        "query": {"type": "string"},
        "threshold": _NUMBER,
    },
    {"activationThreshold": _NUMBER, "ignoreNullValues": {"enum": ["true", "false"]}},
)


def _trigger(kind: str, metadata: dict[str, Any]) -> dict[str, Any]:
    return _closed(
        {"type": {"const": kind}, "metadata": metadata},
        {
            "metricType": {"enum": ["AverageValue", "Value"]},
            "authenticationRef": _closed({"name": _NAME}),
        },
    )


_SCALED = _closed(
    {
        "scaleTargetRef": _closed({"name": _NAME}),
        "triggers": {
            "type": "array",
            "minItems": 1,
            "items": {"oneOf": [_trigger("redis", _REDIS), _trigger("prometheus", _PROMETHEUS)]},
        },
    },
    {
        "pollingInterval": _WHOLE,
        "cooldownPeriod": _WHOLE,
        "minReplicaCount": _WHOLE,
        "maxReplicaCount": _WHOLE,
        # Only with metricType AverageValue, which KEDA needs to make up a value.
        "fallback": _closed({"failureThreshold": _WHOLE, "replicas": _WHOLE}),
        # What is in it is Kubernetes' own, and is checked by its schema.
        "advanced": _closed(
            {"horizontalPodAutoscalerConfig": _closed({"behavior": {"type": "object"}})}
        ),
    },
)
_AUTHENTICATION = _closed(
    {
        "secretTargetRef": {
            "type": "array",
            "items": _closed({"parameter": {"type": "string"}, "name": _NAME, "key": {}}),
        }
    }
)


def _resource(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    return _closed(
        {
            "apiVersion": {"const": "keda.sh/v1alpha1"},
            "kind": {"const": kind},
            "metadata": _closed({"name": _NAME}),
            "spec": spec,
        }
    )


SCHEMA = {
    "oneOf": [
        _resource("ScaledObject", _SCALED),
        _resource("TriggerAuthentication", _AUTHENTICATION),
    ]
}
