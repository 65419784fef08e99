"""How good SEAL is: benchmarks by their official rules, and films whose contents are known.

Metrics
    bootstrap     means with the range that chance explains
    localisation  are the moments found those that are meant?
    choices       multiple choice: what is the answer in a model's output?
    judge         free answers: what another model says of them
    methods       the ways to choose tokens that are compared
    cases         questions with known answers, and all methods asked all of them
    texts         what a text has to do with a question
    plot          recall against the budget, as a picture
Benchmarks
    questions     what those of questions have in common
    lettered      options by letter, and right answers, in all their forms
    lvbench, videomme, mlvu, longvideobench   multiple choice
    moviechat     free answers
    ego4d, nlq    Ego4D-NLQ: its files; when does a video show what answers a query?
    qfvs          summaries for a query
    evidence      picks against the times that questions were made from
    qmsum         turns of meetings that answer a question
    nouns         plain nouns in clips that were labelled by eye
Asking
    asking        a model, with and without selection
    ways          the ways to choose evidence that are compared, and ablations
    lab           what a benchmark takes: videos, time and disk of each step
    videos        the videos of a store, by a data set's names
Films and composites
    film, drawing   a film whose contents are known
    haystack      real clips spliced into a real film, found again
    composites    what the localisation head learns from, and what it reaches on unseen clips
Plug-in
    lmms, lmms_model   SEAL's selection in front of the models of lmms-eval
"""
