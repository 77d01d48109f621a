
def load(path=None):
    """The model with its weights, ready to listen."""
    model = Model()
    path = pathlib.Path(path or pathlib.Path(__file__).with_name("weights.safetensors"))
    if path.suffix == ".safetensors":
        weights = read_safetensors(path)
    else:
        weights = torch.load(path, weights_only=True)
    missing, surplus = model.load_state_dict(weights, strict=False)
    # A count that PyTorch keeps for itself; everything else must be there.
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or surplus:
        sys.exit(f"{path} does not fit: missing {missing}, surplus {surplus}")
    return model.eval()


def greedy(logits):
    """The text of logits [frames, labels]: the best label of each frame, repeats merged, blanks dropped."""
    best = logits[:, : len(LABELS)].argmax(1).tolist()
    kept = [label for place, label in enumerate(best) if place == 0 or label != best[place - 1]]
    text = SEPARATOR.join(LABELS[label] for label in kept if label != 0)
    return " ".join(text.split())


def one_word(logits):
    """The best transcript of exactly one word: sums over blanks, a run of the word, blanks (CTC)."""
    y = logits.double().log_softmax(1)
    within = behind = torch.full((len(LABELS) - 1,), float("-inf"), dtype=y.dtype)
    before = torch.zeros((), dtype=y.dtype)
    for frame in y:
        behind = torch.logaddexp(behind, within) + frame[0]
        within = torch.logaddexp(within, before) + frame[1 : len(LABELS)]
        before = before + frame[0]
    return LABELS[1 + int(torch.logaddexp(within, behind).argmax())]


def main():
    usage = "python model.py FEATURES.npy… [--logits FOLDER] | python model.py --save WEIGHTS.pth"
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.exit(usage)
    model = load()
    if arguments[0] == "--save" and len(arguments) == 2:
        torch.save(model.state_dict(), arguments[1])
        return
    folder = None
    if "--logits" in arguments:
        place = arguments.index("--logits")
        if place + 1 == len(arguments):
            sys.exit(usage)
        folder = pathlib.Path(arguments.pop(place + 1))
        arguments.pop(place)
        folder.mkdir(parents=True, exist_ok=True)
    for name in arguments:
        features = torch.from_numpy(numpy.load(name).astype("float32"))  # [frames, bins]
        with torch.no_grad():
            logits = model(features.unsqueeze(0))[0]
        if folder:
            numpy.save(folder / pathlib.Path(name).name, logits.numpy())
        text = one_word(logits) if OPTIONS.get("one-word", False) else greedy(logits)
        print(f"{name}\t{text}")


if __name__ == "__main__":
    main()
