"""A task for lm-eval in the folder that is named: generated problems and the file that describes them.

python ladder_task.py FOLDER [HOW_MANY]
"""

import json
import sys
from itertools import islice
from pathlib import Path

from evaluation.ladder import Split, generate

TASK = r"""task: reasonflux_ladder
dataset_path: json
dataset_kwargs: {data_files: {test: PROBLEMS}}
test_split: test
output_type: generate_until
doc_to_text: "{{problem}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: [], do_sample: false, max_gen_toks: 4000}
filter_list:
  - name: boxed
    filter:
      - {function: regex, regex_pattern: '\\boxed\{(.*)\}'}
      - {function: take_first}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
metadata: {version: 1}
"""

folder, count = Path(sys.argv[1]).absolute(), int((sys.argv[2:] or ["20"])[0])
folder.mkdir(parents=True, exist_ok=True)
problems = folder / "problems.jsonl"
drawn = islice(generate(Split.HELDOUT, [1, 2], seed=20), count)
problems.write_text("".join(json.dumps({"problem": one.text, "answer": one.answer}) + "\n" for one in drawn))
(folder / "reasonflux_ladder.yaml").write_text(TASK.replace("PROBLEMS", json.dumps(str(problems))))
