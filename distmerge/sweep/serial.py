"""The sweep in this process: `ray: false`."""

from distmerge.coordinator import LocalModels, local_features
from distmerge.run import Session, references
from distmerge.sweep.board import Board
from distmerge.sweep.gate import check_sanity
from distmerge.sweep.prepare import Prepared, Report
from distmerge.sweep.rungs import rungs_reader
from distmerge.sweep.trial import Done, Recorder, attempt, ended


def sweep_here(prepared: Prepared, board: Board, report: Report) -> None:
    """Run what the search asks for, one run after the other.

    Raises:
        CheckpointError: a fine-tuned model is not better than the pretrained one.
        ResultsError: the storage cannot be read or written.
    """
    session = _session(prepared, report)
    check_sanity(session, report)
    rungs = rungs_reader(prepared.store, prepared.study, prepared.digests)
    recorder = Recorder(prepared.store, prepared.study.study, rungs)
    for record in references(session, recorder.finished):
        recorder.append(Done(record, None))
    with board:
        while (suggestion := prepared.search.ask()) is not None:
            board.started(suggestion)
            done = attempt(session, suggestion.config, "", board.stepped, recorder)
            recorder.append(done)
            result = ended(done.record)
            prepared.search.tell(suggestion, result.score, result.cost, dict(result.rungs))
            board.ended(suggestion, result)
    for line in prepared.search.gaps():
        report(line)


def _session(prepared: Prepared, report: Report) -> Session:
    bank = local_features(
        prepared.source,
        prepared.material,
        prepared.digests.keys,
        prepared.features,
        block=prepared.study.block,
        report=report,
    )
    models = LocalModels(prepared.material, bank)
    return Session(prepared.study, prepared.material, prepared.vectors, prepared.digests, models)
