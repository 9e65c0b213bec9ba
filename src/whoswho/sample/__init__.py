"""The embedded sample: a crawl of five invented people, drawn, with a real crawl's dirt.

`plan(seed)` says what every file is, `draw(out, seed)` writes the files. The same seed gives the
same bytes with the same versions of NumPy and Pillow; how many threads draw changes nothing. The
truth lives in the plan alone: the drawn folder holds only what a crawler would have left there.
"""

from whoswho.sample.drawing import draw
from whoswho.sample.plan import FEWEST_PORTRAITS, LABELS, SampleFile, plan

__all__ = ["FEWEST_PORTRAITS", "LABELS", "SampleFile", "draw", "plan"]
