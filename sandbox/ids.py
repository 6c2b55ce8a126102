"""New ids, from a source of randomness that may be made to repeat."""

import random
import uuid


def new_id(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))
