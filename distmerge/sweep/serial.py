"""The sweep in this process: `ray: false`."""

from contextlib import closing
from functools import partial

from distmerge.coordinator import LocalModels, local_features
from distmerge.run import Session, references
from distmerge.sweep.gate import check_sanity
from distmerge.sweep.prepare import Loaded, Prepared, Report
from distmerge.sweep.progress.board import Board
from distmerge.sweep.progress.journal import Journal
from distmerge.sweep.search.rungs import rungs_reader
from distmerge.sweep.trial import Done, Recorder, attempt, ended


def sweep_here(prepared: Prepared, board: Board, report: Report) -> None:
    """Run what the search asks for, one run after the other.

    Raises:
        CheckpointError: a fine-tuned model is not better than the pretrained one.
        ResultsError: the storage cannot be read or written.
    """
    session = local_session(prepared, report)
    check_sanity(session, report)
    rungs = rungs_reader(prepared.store, prepared.study, prepared.digests)
    study, store = prepared.study, prepared.store
    journal = partial(Journal, store, study.study, tensorboard=study.tensorboard)
    recorder = Recorder(store, study.study, rungs, journal)
    for record in references(session, recorder.finished):
        recorder.append(Done(record, None))
    with board, closing(recorder):
        while (suggestion := prepared.search.ask()) is not None:
            board.started(suggestion)
            done = attempt(session, suggestion.config, "", board.stepped, recorder)
            recorder.append(done)
            result = ended(done.record)
            prepared.search.tell(suggestion, result.score, result.cost, dict(result.rungs))
            board.ended(suggestion, result)
    for line in prepared.search.gaps():
        report(line)


def local_session(loaded: Loaded, report: Report) -> Session:
    """Give a session of this process; individual models that no sweep has asked run here."""
    bank = local_features(
        loaded.source,
        loaded.material,
        loaded.digests.keys,
        loaded.features,
        block=loaded.study.block,
        report=report,
    )
    models = LocalModels(loaded.material, bank)
    return Session(loaded.study, loaded.material, loaded.vectors, loaded.digests, models)
