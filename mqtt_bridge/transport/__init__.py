"""How messages travel: one contract, an MQTT transport and a broker in this process."""
