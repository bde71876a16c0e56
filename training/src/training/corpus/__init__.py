"""Stage corpus: from the ladder and the library to conversations that the models learn from.

in    a template library, the ladder's training split
out   an endless, seeded stream of conversations per role; only marked assistant messages are learned
how   A navigator conversation is a simulated session: events are made from the gold trajectory, and the navigator's own
      `planning.conversation` renders them, so the weights learn on the very prompts that the service sends. Executor
      conversations are rendered by the executor's own `prompting.render`.

Injected errors make retry, revise and finish worth learning: a failed calculation is retried; a step with an unfit
template is reported by the executor and revised by the navigator (the bad plan itself is shown, not learned); a problem
that no template fits is declined.
"""

from training.corpus.executor import executor_conversations as executor_conversations
from training.corpus.executor import request_of as request_of
from training.corpus.mixture import Conversation as Conversation
from training.corpus.mixture import Library as Library
from training.corpus.mixture import Mixture as Mixture
from training.corpus.mixture import Turn as Turn
from training.corpus.mixture import training_problems as training_problems
from training.corpus.navigator import OUTSIDE as OUTSIDE
from training.corpus.navigator import abstraction_of as abstraction_of
from training.corpus.navigator import navigator_conversations as navigator_conversations
from training.corpus.navigator import step_of as step_of
