"""The table of the decoders that outsiders reach."""

from tests.fuzz import answers, peers, requests
from tests.fuzz.harness import Decoder

DECODERS: dict[str, Decoder] = {
    decoder.name: decoder for module in (peers, requests, answers) for decoder in module.DECODERS
}
