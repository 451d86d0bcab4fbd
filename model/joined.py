"""The network and the people it knows, joined: what every session, every enrolment and every program begins with."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from model.confirm import Confirm, ConfirmConfig
from model.encoder import Encoder
from model.enrol import Enrolment, References, embed_references
from model.guests import Guests
from model.head import Head
from model.introduce import Introduce, IntroduceConfig
from model.overlap import OverlapConfig, Overlaps
from model.profile import Profile, default_profile
from model.voices import BaseModel, Voice
from model.window import scorer_of
from model.window_head import WindowHead
from stream.audible import Audible, sound_of
from stream.decide import Decide, DecisionConfig
from stream.recognizer import Stages
from stream.records import Block

__all__ = ["learn_voice", "open_profile", "stages_of"]


def open_profile(encoder: Encoder, folder: Path | None = None) -> Profile:
    """The people in a profile; what another base model learned of them is learned again from their kept sound.

    Args:
        encoder: the network.
        folder: the profile's; one that does not exist is an empty profile. None is the user's own, as in `livespeaker`.

    Raises:
        ProfileError: see `Profile`.
    """
    base = BaseModel(encoder.weights.sha256, asdict(encoder.weights.mfcc))
    return Profile(folder or default_profile(), base, embed=lambda samples: embed_references(encoder, samples))


def learn_voice(encoder: Encoder, *sources: Audible) -> References:
    """The voice of one person, from some sources, the first 30 s of speech in them.

    `Profile.add` keeps it, `References.voice` makes a person of it who is known for as long as the program runs.

    Args:
        encoder: the network.
        sources: of one person alone, read to their ends; none is read after there is enough.

    Raises:
        AudioError: a source fails.
        EnrolmentError: it is no voice to learn: less than 2 s of speech, clipped, or two people.
        UsageError: a source's rate or its blocks cannot be.
    """
    enrolment = Enrolment(encoder)
    for source in sources:
        with closing(sound_of(source)) as sound:
            for _ in enrolment.listen((heard for heard in sound if isinstance(heard, Block)), source.rate):
                pass
        if enrolment.full:
            break
    return enrolment.finish()


def stages_of(
    encoder: Encoder,
    people: Profile | Sequence[Voice],
    config: DecisionConfig | None = None,
    *,
    head: Head | None = None,
) -> Stages:
    """The stages of a session, which remembers its strangers, and follows a profile that changes while it runs.

    Args:
        encoder: the network.
        people: who is known, by their profile with its fine-tuned head, or as they are.
        config: how scores become turns; as in `livespeaker` unless told.
        head: what fine-tuning learned of people who are in no profile.
    """
    weights, guests = encoder.weights, Guests(encoder.weights)
    config = config or DecisionConfig()
    sure = ConfirmConfig(unknown=config.unknown_prior, speech=config.speech)

    def voices() -> Sequence[Voice]:
        return people.voices if isinstance(people, Profile) else people

    def learned() -> Head | WindowHead | None:
        return people.head if isinstance(people, Profile) else head

    def layers() -> Head | None:
        # A base model of the user's hears windows of sound: what a whole turn says is left to the cohort.
        own = learned()
        return None if isinstance(own, WindowHead) else own

    return Stages(
        encoder.mfcc,
        lambda: encoder.stream(config.speech),
        lambda: scorer_of(voices(), weights, learned(), config.speech),
        lambda: Decide(config),
        confirm=lambda: Confirm(voices(), weights, layers(), sure, guests),
        guests=lambda: Introduce(guests, voices(), weights, IntroduceConfig(speech=config.speech)),
        overlaps=lambda: Overlaps(voices(), weights, layers(), OverlapConfig(speech=config.speech)),
        changed=people.refresh if isinstance(people, Profile) else lambda: False,
    )
