"""The device agent: answers requests on one board and knows nothing of MQTT, torch or ONNX."""
