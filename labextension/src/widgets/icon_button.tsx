import type { LabIcon } from "@jupyterlab/ui-components";
import * as React from "react";

export interface IIconButtonProps {
  readonly icon: LabIcon;
  readonly label: string;
  readonly onClick: (event: React.MouseEvent<HTMLButtonElement>) => void;
  /** Opens a menu. */
  readonly hasMenu?: boolean;
}

/** A button that shows a picture and says what it does. */
export function IconButton(props: IIconButtonProps): React.ReactElement {
  const { hasMenu = false, icon, label, onClick } = props;
  return (
    <button
      type="button"
      className="embedenv-IconButton"
      title={label}
      aria-label={label}
      onClick={onClick}
      {...(hasMenu ? { "aria-haspopup": "menu" } : {})}
    >
      <icon.react tag="span" />
    </button>
  );
}
